# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option of every module that calls the engine."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  socket:
    description: Path of the engine's unix socket, by default C(/var/run/docker.sock), or C(docker.sock) in the runtime folder of O(user).
    type: path
"""
