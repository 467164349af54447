# SPDX-License-Identifier: GPL-3.0-or-later
"""Ordinary services from Debian packages in containers: what works on which engine, and what each needs. See docs/services.md."""
