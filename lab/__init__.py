# SPDX-License-Identifier: GPL-3.0-or-later
"""Throwaway virtual machines with a real Docker engine.

Standard library only: the lab must run before any virtual environment exists.
"""
