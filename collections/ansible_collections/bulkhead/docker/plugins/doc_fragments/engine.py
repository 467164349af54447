# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of every module that calls the engine."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  socket:
    description:
      - Path of the engine's unix socket. By default it is where the engine's process listens.
      - Without such a process, it is C(/var/run/docker.sock), or C(docker.sock) in the runtime folder of the engine's user.
    type: path
"""
