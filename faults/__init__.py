# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults tried for real on throwaway machines: what breaks, what survives, what is lost. See docs/faults.md."""
