# SPDX-License-Identifier: GPL-3.0-or-later
"""The pull agent: fetch a revision, see whether it may be run, run it by ansible-pull, and say in a metrics file how it went.

    pull-agent run     what the timer starts
    pull-agent ended   what systemd starts after it, however it ended (man 5 systemd.service, ExecStopPost)

Installed as a program of its own by pull/setup.py. Runs as root. What the origin says is not believed: it is fetched into a bare repository, where nothing
of it is a file, and only a commit that is the pinned one, or has a good signature, is ever checked out. A signed one that is older than the last, which
whoever holds the origin could still serve, is not run either.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONFIG = "/etc/bulkhead/pull-agent.json"
GIT_CONFIG = "/etc/bulkhead/pull-agent.gitconfig"
STATE = "/var/lib/bulkhead/pull"
OWN_METRICS, HOST_METRICS = "bulkhead-pull.prom", "bulkhead-watch.prom"
CANDIDATE, VERIFIED = "refs/bulkhead/candidate", "refs/heads/verified"
# Why nothing was run, or what was run failed.
CONFIGURATION, UNREACHABLE, REVISION, SIGNATURE, REWIND, RUN, BUSY, ENDED = (
    "configuration", "unreachable", "revision", "signature", "rewind", "run", "busy", "ended",
)  # fmt: skip
METRICS = {
    "bulkhead_pull_last_attempt_timestamp_seconds": "When the agent last tried.",
    "bulkhead_pull_last_success_timestamp_seconds": "When it last ran a revision, and all was well.",
    "bulkhead_pull_ok": "1: the last try ran a revision, and all was well. 0: the label reason says why not.",
    "bulkhead_pull_revision_info": "The revision that was last run, and how.",
}


class PullError(Exception):
    """reason: one of the words above. Its text is one sentence for whoever reads the journal."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Agent:
    """root: where the file system begins; tests have their own."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)
        self.state_dir = self.path(STATE)
        self.git_dir = self.state_dir / "origin.git"
        self.state: dict[str, Any] = {}
        self.config: dict[str, Any] = _read(self.path(CONFIG))

    def path(self, absolute: str) -> Path:
        return self.root / absolute.lstrip("/")

    def run(self) -> int:
        try:
            with self.alone():
                return self.attempt()
        except PullError as trouble:
            return _complain(trouble)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other run is under way, and `state` is what the last one left. Raises Trouble where one is."""
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.state_dir / "lock", "w", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PullError(BUSY, "another run is under way on this host") from None
            self.state = _read(self.state_dir / "state.json")
            yield

    def attempt(self) -> int:
        self.remember(attempt=time.time(), running=True)
        try:
            if not self.config.get("url"):
                raise PullError(CONFIGURATION, f"{CONFIG} names no url; run the role pull_agent again")
            commit = self.fetch()
            self.check(commit)
            self.play(commit)
        except PullError as trouble:
            self.finish(trouble.reason)
            return _complain(trouble)
        self.finish("")
        return 0

    def ended(self) -> int:
        """Of a run that was killed nothing fresh is known. One that is under way (by hand; ours was told so) has not ended."""
        try:
            with self.alone():
                if not self.state.get("running"):
                    return 0
                (self.state_dir / "fresh.prom").unlink(missing_ok=True)
                self.finish(ENDED)
        except PullError:
            return 0
        return _complain(PullError(ENDED, f"it was ended before it had an answer ({os.environ.get('SERVICE_RESULT', 'unknown')})"))

    def fetch(self) -> str:
        """The commit that the origin has, or that is pinned. A pinned one that is here already needs no origin."""
        pin = self.config.get("revision", "")
        if not (self.git_dir / "HEAD").exists():
            self.git("init", "--quiet", "--bare", str(self.git_dir), reason=CONFIGURATION, outside=True)
        if pin and self.has(pin):
            return str(pin)
        desired = ["+refs/heads/*:refs/bulkhead/heads/*"] if pin else [f"+refs/heads/{self.config['branch']}:{CANDIDATE}"]
        self.git("fetch", "--quiet", "--no-tags", "--prune", "--", self.config["url"], *desired, reason=UNREACHABLE)
        if not pin:
            return self.git("rev-parse", "--verify", f"{CANDIDATE}^{{commit}}", reason=REVISION)
        if not self.has(pin):
            raise PullError(REVISION, f"the origin {self.config['url']} has no commit {pin} on any branch")
        return str(pin)

    def has(self, commit: str) -> bool:
        return self.called("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0

    def check(self, commit: str) -> None:
        """Whether this commit may be run. Raises Trouble."""
        if self.config.get("signed"):
            done = self.called("verify-commit", commit)
            if done.returncode:
                said = " ".join((done.stderr or done.stdout).split()) or "it has no signature"
                raise PullError(SIGNATURE, f"commit {commit[:12]} is not signed by anybody whom this host trusts: {said}")
        elif commit != self.config.get("revision"):
            raise PullError(SIGNATURE, "neither a pinned revision nor signers are configured; run the role pull_agent again")
        last = str(self.state.get("revision", ""))
        follows = self.config.get("revision") or self.config.get("rewind") or not last or not self.has(last)
        if not follows and self.called("merge-base", "--is-ancestor", last, commit).returncode:
            text = f"commit {commit[:12]} does not follow {last[:12]}, which this host ran last: an old state is served, or the branch was rewritten"
            raise PullError(REWIND, f"{text}; pull_agent_rewind: true lets it through")
        # What is checked out is cloned from here, and only this can be.
        self.git("update-ref", VERIFIED, commit, reason=CONFIGURATION)
        self.git("symbolic-ref", "HEAD", VERIFIED, reason=CONFIGURATION)

    def play(self, commit: str) -> None:
        """Run the playbook of that commit. Raises Trouble when it ends badly."""
        fresh = self.state_dir / "fresh.prom"
        fresh.unlink(missing_ok=True)
        self.remember(revision=commit, mode=self.config["mode"])
        done = subprocess.Popen(
            self.command(commit, fresh),
            cwd="/",
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        last = ""
        for line in done.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            if line.startswith(("fatal: ", "failed: ", "unreachable: ", "ERROR! ", "[ERROR]")):
                last = line.strip()
            elif last.endswith("=>") and line.strip().startswith(("msg: ", '"msg": ')):
                last = f"{last.removesuffix('=>')}{line.strip()}"
        if done.wait():
            raise PullError(
                RUN, f"{self.config['playbook']} of {commit[:12]} failed (exit code {done.returncode}): {last or 'see its output above'}"
            )

    def command(self, commit: str, fresh: Path) -> list[str]:
        """ansible-pull looks for its own host in the inventory before there is a checkout; `localhost,` lets it find one."""
        checkout, config = self.state_dir / "checkout", self.config
        values = {
            "ansible_connection": "local",
            "bulkhead_target": config["host"],
            "bulkhead_report_dir": str(self.state_dir / "reports"),
            "bulkhead_metrics_file": str(fresh),
            "bulkhead_since": config["since"],
            # What converges is to prove each time, however fresh the last verification is: what held then is not what these metrics say.
            "bulkhead_resume": False,
        }
        return [
            config.get("program", "ansible-pull"), "--url", str(self.git_dir), "--checkout", commit, "--directory", str(checkout), "--full", "--clean",
            *(["--verify-commit"] if config.get("signed") else []), "--inventory", "localhost,", "--inventory", str(checkout / config["inventory"]),
            "--limit", config["host"], "--extra-vars", json.dumps(values), config["playbook"],
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """git reads our configuration alone, asks nobody, and knows hosts by what root knows; Ansible keeps its things in the agent's folder."""
        ssh = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=30"
        if self.config.get("ssh_key"):
            ssh += f" -o IdentitiesOnly=yes -i '{self.config['ssh_key']}'"
        return {
            "PATH": os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(self.state_dir),
            "ANSIBLE_HOME": str(self.state_dir / "ansible"),
            # Ansible takes ~ for root's home, whatever HOME says, and the unit may not write there.
            "ANSIBLE_REMOTE_TMP": str(self.state_dir / "ansible/tmp"),
            # ansible-pull checks out for localhost and for the host's own name, which are one folder: not at the same time.
            "ANSIBLE_FORKS": "1",
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "GIT_CONFIG_GLOBAL": str(self.path(GIT_CONFIG)),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_SSH_COMMAND": ssh,
            **({"GNUPGHOME": self.config["gpg_home"]} if self.config.get("gpg_home") else {}),
        }

    def called(self, *arguments: str, outside: bool = False) -> subprocess.CompletedProcess[str]:
        where = [] if outside else [f"--git-dir={self.git_dir}"]
        try:
            return subprocess.run(
                ["git", *where, *arguments],
                env=self.environment(),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=300,
                check=False,
            )
        except FileNotFoundError as error:
            raise PullError(CONFIGURATION, "there is no git on this host") from error
        except subprocess.TimeoutExpired as error:
            raise PullError(UNREACHABLE, f"git {arguments[0]} did not end within 300 s") from error

    def git(self, *arguments: str, reason: str, outside: bool = False) -> str:
        done = self.called(*arguments, outside=outside)
        if done.returncode:
            said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip()) or f"exit code {done.returncode}"
            what = f"the origin {self.config['url']} can't be fetched" if reason == UNREACHABLE else f"git {arguments[0]}"
            raise PullError(reason, f"{what}: {said}")
        return done.stdout.strip()

    def finish(self, reason: str) -> None:
        """Metrics of this run, or none: those of an earlier one would be taken for fresh."""
        if not reason:
            self.remember(success=time.time())
        self.remember(running=False, reason=reason)
        folder = self.config.get("metrics_dir")
        if not folder:
            return
        self.path(folder).mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh, shown = self.state_dir / "fresh.prom", self.path(folder) / HOST_METRICS
        if fresh.exists():
            _replace(shown, fresh.read_text(encoding="utf-8"), 0o644)
            fresh.unlink()
        else:
            shown.unlink(missing_ok=True)
        _replace(self.path(folder) / OWN_METRICS, render_metrics(self.state), 0o644)

    def remember(self, **values: Any) -> None:
        self.state.update(values)
        _replace(self.state_dir / "state.json", json.dumps(self.state) + "\n", 0o600)


def render_metrics(state: dict[str, Any]) -> str:
    """Prometheus' text format 0.0.4. state: as in state.json."""
    samples = {
        "bulkhead_pull_last_attempt_timestamp_seconds": state.get("attempt"),
        "bulkhead_pull_last_success_timestamp_seconds": state.get("success"),
        f'bulkhead_pull_ok{{reason="{state.get("reason", "")}"}}': 0 if state.get("reason") else 1,
        f'bulkhead_pull_revision_info{{revision="{state.get("revision", "")}",mode="{state.get("mode", "")}"}}': 1
        if state.get("revision")
        else None,
    }
    lines = []
    for name, value in samples.items():
        if value is not None:
            plain = name.partition("{")[0]
            lines += [f"# HELP {plain} {METRICS[plain]}", f"# TYPE {plain} gauge", f"{name} {value:.0f}"]
    return "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none, or a damaged one: a state that was forgotten is made anew."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _replace(path: Path, text: str, mode: int) -> None:
    """Old or new, never half.

    The folder of metrics may be another user's (the distribution's node exporter has one of `prometheus`), who can put links into it and in
    its place. No file is opened but one that was made here, and a link in the place of `path` is itself replaced: he can mislead our metrics,
    and change no other file by them.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # O_EXCL and O_NOFOLLOW, under a name that nobody knows
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fchmod(handle.fileno(), mode)
            os.fsync(handle.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _complain(trouble: PullError) -> int:
    sys.stderr.write(f"bulkhead-pull: {trouble.reason}: {trouble}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(Agent().ended() if sys.argv[1:] == ["ended"] else Agent().run())
