# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures the recorder on throwaway VMs: what it records against strace, and denials under generated profiles."""
