# SPDX-License-Identifier: GPL-3.0-or-later
"""A throwaway VM on which services are recorded: playbooks, jobs, and what the recorder knows of the containers."""

from __future__ import annotations

import gzip
import json
import shlex
import subprocess
import sys
import tempfile
from base64 import b64decode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import paths
from lab.progress import say
from services import data, image, trial
from soak_recording.profiles import build_lists

GUEST = Path(__file__).with_name("guest")


@dataclass
class SoakMachine:
    """name: of the VM. setting: of services/data.py, which also selects the engine. folder: for recordings and reports."""

    name: str
    setting: str
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="recording-")))

    def __post_init__(self) -> None:
        self._run = trial.open_machine(self.name)

    def run(self, script: str) -> str:
        """Run a script as root with the engine selected, and return its output. Raises RuntimeError."""
        return self._run(f"{trial.select_engine(self.setting)}\n{script}")

    def attach_images(self, services: Sequence[data.TableService], suite: str) -> None:
        for name in (data.SAMPLE, data.REST):
            members = [service for service in data.load_services().values() if service.sample == (name == data.SAMPLE)]
            if any(service in members for service in services):
                say(f"{self.name}: attaching the image {name}")
                image.attach_image(self._run, paths.machine_dir(self.name), name, suite, members, trial.select_engine(self.setting))

    def run_playbook(self, playbook: str, *options: str) -> None:
        """Run a playbook. Raises RuntimeError with the end of its output."""
        command = [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "-i",
            f".lab/{self.name}/inventory.yml",
            f"playbooks/{playbook}.yml",
        ]
        report = ["-e", f"bulkhead_report_dir={self.folder / 'reports'}"]
        if self.setting == "rootless":
            report += ["-e", "@inventory/group_vars/rootless.yml"]
        done = subprocess.run([*command, *report, *options], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{playbook}.yml: status {done.returncode}: {done.stdout[-4000:]}{done.stderr[-2000:]}")

    def record(self, stages: Mapping[str, str] | None = None) -> None:
        """Arm or collect. stages: of services, by name."""
        entries = [{"name": name, "stage": stage, "reason": "a measurement"} for name, stage in (stages or {}).items()]
        self.run_playbook(
            "record", "-e", f"bulkhead_recordings={self.recordings}", "-e", json.dumps({"container_recorder_services": entries})
        )

    def install_profiles(self) -> None:
        """Install the generated profiles."""
        self.run_playbook("harden", "-e", json.dumps(build_lists(self.recordings)), "-e", "bulkhead_verify=false")

    @property
    def recordings(self) -> Path:
        return self.folder / "recordings"

    def start(self, service: data.TableService, options: Sequence[str] = ()) -> None:
        """Start a service's container anew. It is not waited for."""
        job = build_job(service, self.setting, options)
        command = ["docker", "run", "--detach", "--name", job["container"], *job["options"], job["image"], *job["command"]]
        self.run(f"docker rm -f {service.container} >/dev/null 2>&1; {shlex.join(command)}")

    def collect(self) -> list[dict[str, Any]]:
        """Return all containers that the recorder knows."""
        output = self._run("python3 -I /var/lib/bulkhead/recorder/recorder.pyz collect | gzip -c | base64 -w0")
        recorded = json.loads(gzip.decompress(b64decode(output)))
        for gap in recorded["gaps"]:
            say(f"gap: {gap['text']}")
        found: list[dict[str, Any]] = recorded["instances"]
        return found

    def run_jobs(self, program: str, jobs: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Run a program of the folder guest with jobs on its input, and return its results.

        Results name what a job did not do. Raises RuntimeError if the program itself failed.
        """
        texts = {path.name: path.read_text(encoding="utf-8") for path in (*GUEST.glob("*.py"), trial.GUEST)}
        files = "".join(f"cat > {name} <<'END_OF_PROGRAM'\n{text}\nEND_OF_PROGRAM\n" for name, text in texts.items())
        lines = "\n".join(map(json.dumps, jobs))
        output = self.run(
            f"mkdir -p /root/recording && cd /root/recording\n{files}python3 {program} 2>errors <<'END_OF_JOBS' || true\n{lines}\nEND_OF_JOBS\n"
        )
        if errors := self.run("tail -n 5 /root/recording/errors"):
            raise RuntimeError(f"{program}: {errors}")
        return [json.loads(line) for line in output.splitlines()]


def build_job(service: data.TableService, setting: str, options: Sequence[str] = (), **more: Any) -> dict[str, Any]:
    """Return the job of a service without a load test. options: further ones of `docker run`."""
    job = data.build_job(service, setting)
    if "--security-opt=no-new-privileges=false" in options:
        job["expect"] = {**job["expect"], "NoNewPrivs": "0"}
    return {**job, "options": [*job["options"], *options], "load": {}, **more}
