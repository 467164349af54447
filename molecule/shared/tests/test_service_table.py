# SPDX-License-Identifier: GPL-3.0-or-later
"""The services of the table that have `sample: true`, on a hardened host: without options, and with everything stacked.

`python -m services` tries all services, also on an engine as installed and on a rootless one (docs/services.md).
"""

from __future__ import annotations

import os

import pytest
from conftest import REPOSITORY
from testinfra.host import Host

from services import data, image, trial

SERVICES = data.load_services()
SAMPLE = [service for service in SERVICES.values() if service.sample]


@pytest.fixture(scope="module")
def packages(host: Host) -> str:
    """Give the image to the machine's engine; return its packages."""
    machine = REPOSITORY / ".lab" / str(host.backend.get_hostname())
    suite = os.environ.get("LAB_SUITE", "trixie")
    return image.attach_image(host.check_output, machine, data.SAMPLE, suite, SAMPLE, trial.select_engine("hardened"))


@pytest.mark.parametrize("setting", ["hardened", data.STACKED])
def test_services_start_answer_accept_exec_and_stop(host: Host, packages: str, setting: str) -> None:
    # Without options: what reaches limits under load, and what no entry can run. Each other service is tried with everything stacked.
    services = [s for s in SAMPLE if (s.stacked if setting == data.STACKED else s.load or s.needs_root)]
    assert len(services) >= (10 if setting == data.STACKED else 4)
    assert all(data.find_version(packages, service) != "unknown" for service in services)
    results = trial.parse_results(host.check_output(trial.build_script(services, setting)))
    assert trial.find_problems(services, results) == {}
