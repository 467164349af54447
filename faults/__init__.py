# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults, caused on throwaway machines: what breaks, what survives and what is lost. See docs/faults.md."""
