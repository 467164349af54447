# SPDX-License-Identifier: GPL-3.0-or-later
"""The pull agent: fetches a revision, checks that it may run, runs it with ansible-pull, and writes the result as metrics.

    pull-agent run     started by the timer
    pull-agent ended   started by systemd afterwards, however the run ended (man 5 systemd.service, ExecStopPost)

pull/setup.py installs it as a separate program; it runs as root. The origin is not trusted: it is fetched into a bare repository, and only the
pinned commit, or one with a valid signature, is checked out. A signed commit older than the last one, which the origin could still serve, does
not run either.
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
# Why nothing ran, or why the run failed: values of the label `reason`.
CONFIGURATION, UNREACHABLE, REVISION, SIGNATURE, REWIND, RUN, BUSY, ENDED = (
    "configuration", "unreachable", "revision", "signature", "rewind", "run", "busy", "ended",
)  # fmt: skip
METRICS = {
    "bulkhead_pull_last_attempt_timestamp_seconds": "Time of the last run of the agent.",
    "bulkhead_pull_last_success_timestamp_seconds": "Time of the last successful run of a revision.",
    "bulkhead_pull_ok": "1: the last run was successful. 0: it was not, for the label reason.",
    "bulkhead_pull_revision_info": "The revision of the last run, and its mode.",
}


class PullError(Exception):
    """Nothing ran, or the run failed. reason: one of the values above. The text is for the journal."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Agent:
    """One host's agent. root: of the file system; tests set it."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)
        self.state_dir = self.path(STATE)
        self.git_dir = self.state_dir / "origin.git"
        self.state: dict[str, Any] = {}
        self.config: dict[str, Any] = _read(self.path(CONFIG))

    def path(self, absolute: str) -> Path:
        """Return a path below the root."""
        return self.root / absolute.lstrip("/")

    def run(self) -> int:
        """Run once, unless another run is active, and return the exit code."""
        try:
            with self.lock():
                return self.run_once()
        except PullError as error:
            return _report(error)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock out other runs and load the state of the last one. Raises PullError when a run is active."""
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(self.state_dir / "lock", "w", encoding="utf-8") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PullError(BUSY, "another run is active on this host") from None
            self.state = _read(self.state_dir / "state.json")
            yield

    def run_once(self) -> int:
        """Fetch, check and run a commit, record the result, and return the exit code."""
        self.save_state(attempt=time.time(), running=True)
        try:
            if not self.config.get("url"):
                raise PullError(CONFIGURATION, f"{CONFIG} has no url; run the role pull_agent again")
            commit = self.fetch_commit()
            self.check_commit(commit)
            self.run_playbook(commit)
        except PullError as error:
            self.record_result(error.reason)
            return _report(error)
        self.record_result("")
        return 0

    def record_end(self) -> int:
        """Record the end of a run that was killed, and drop its metrics. Another active run, started by hand, is not affected."""
        try:
            with self.lock():
                if not self.state.get("running"):
                    return 0
                (self.state_dir / "fresh.prom").unlink(missing_ok=True)
                self.record_result(ENDED)
        except PullError:
            return 0
        return _report(PullError(ENDED, f"the run was ended before it was complete ({os.environ.get('SERVICE_RESULT', 'unknown')})"))

    def fetch_commit(self) -> str:
        """Return the pinned commit, or the origin's newest one on the branch. A pinned commit that is already fetched needs no origin."""
        pin = self.config.get("revision", "")
        if not (self.git_dir / "HEAD").exists():
            self.git("init", "--quiet", "--bare", str(self.git_dir), reason=CONFIGURATION, outside=True)
        if pin and self.has_commit(pin):
            return str(pin)
        refs = ["+refs/heads/*:refs/bulkhead/heads/*"] if pin else [f"+refs/heads/{self.config['branch']}:{CANDIDATE}"]
        self.git("fetch", "--quiet", "--no-tags", "--prune", "--", self.config["url"], *refs, reason=UNREACHABLE)
        if not pin:
            return self.git("rev-parse", "--verify", f"{CANDIDATE}^{{commit}}", reason=REVISION)
        if not self.has_commit(pin):
            raise PullError(REVISION, f"the origin {self.config['url']} has no commit {pin} on any branch")
        return str(pin)

    def has_commit(self, commit: str) -> bool:
        """Return whether a commit is fetched."""
        return self.call_git("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0

    def check_commit(self, commit: str) -> None:
        """Check that this commit may run, and make it the one to check out. Raises PullError."""
        if self.config.get("signed"):
            done = self.call_git("verify-commit", commit)
            if done.returncode:
                message = " ".join((done.stderr or done.stdout).split()) or "it has no signature"
                raise PullError(SIGNATURE, f"commit {commit[:12]} is not signed by a signer that this host trusts: {message}")
        elif commit != self.config.get("revision"):
            raise PullError(SIGNATURE, "neither a pinned revision nor signers are configured; run the role pull_agent again")
        last = str(self.state.get("revision", ""))
        follows = self.config.get("revision") or self.config.get("rewind") or not last or not self.has_commit(last)
        if not follows and self.call_git("merge-base", "--is-ancestor", last, commit).returncode:
            text = f"commit {commit[:12]} does not follow {last[:12]}, the last one on this host: the origin is outdated, or the branch was rewritten"
            raise PullError(REWIND, f"{text}; set pull_agent_rewind: true to run it anyway")
        # The checkout is cloned from this repository, in which only this commit is on a branch.
        self.git("update-ref", VERIFIED, commit, reason=CONFIGURATION)
        self.git("symbolic-ref", "HEAD", VERIFIED, reason=CONFIGURATION)

    def run_playbook(self, commit: str) -> None:
        """Run the playbook of the commit. Raises PullError when it fails."""
        fresh = self.state_dir / "fresh.prom"
        fresh.unlink(missing_ok=True)
        self.save_state(revision=commit, mode=self.config["mode"])
        done = subprocess.Popen(
            self.build_command(commit, fresh),
            cwd="/",
            env=self.build_environment(),
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

    def build_command(self, commit: str, fresh: Path) -> list[str]:
        """Return the command line. ansible-pull needs a host before the checkout exists, which is why `localhost,` is an inventory."""
        checkout, config = self.state_dir / "checkout", self.config
        values = {
            "ansible_connection": "local",
            "bulkhead_target": config["host"],
            "bulkhead_report_dir": str(self.state_dir / "reports"),
            "bulkhead_metrics_file": str(fresh),
            "bulkhead_since": config["since"],
            # Every run verifies again: these metrics must not repeat an earlier verification.
            "bulkhead_resume": False,
        }
        return [
            config.get("program", "ansible-pull"), "--url", str(self.git_dir), "--checkout", commit, "--directory", str(checkout), "--full", "--clean",
            *(["--verify-commit"] if config.get("signed") else []), "--inventory", "localhost,", "--inventory", str(checkout / config["inventory"]),
            "--limit", config["host"], "--extra-vars", json.dumps(values), config["playbook"],
        ]  # fmt: skip

    def build_environment(self) -> dict[str, str]:
        """Return the environment: git uses the agent's configuration only, without prompts; Ansible keeps its files in the agent's folder."""
        ssh = "ssh -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=30"
        if self.config.get("ssh_key"):
            ssh += f" -o IdentitiesOnly=yes -i '{self.config['ssh_key']}'"
        return {
            "PATH": os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            "HOME": str(self.state_dir),
            "ANSIBLE_HOME": str(self.state_dir / "ansible"),
            # Ansible uses root's home for ~ in spite of HOME, and the unit may not write there.
            "ANSIBLE_REMOTE_TMP": str(self.state_dir / "ansible/tmp"),
            # ansible-pull checks out once for localhost and once for the host's name, into the same folder.
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

    def call_git(self, *arguments: str, outside: bool = False) -> subprocess.CompletedProcess[str]:
        """Run git on the bare repository (outside: without one) and return the result. Raises PullError."""
        where = [] if outside else [f"--git-dir={self.git_dir}"]
        try:
            return subprocess.run(
                ["git", *where, *arguments],
                env=self.build_environment(),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=300,
                check=False,
            )
        except FileNotFoundError as error:
            raise PullError(CONFIGURATION, "git is not installed on this host") from error
        except subprocess.TimeoutExpired as error:
            raise PullError(UNREACHABLE, f"git {arguments[0]} did not end within 300 s") from error

    def git(self, *arguments: str, reason: str, outside: bool = False) -> str:
        """Run git and return its output. Raises PullError with `reason` when it fails."""
        done = self.call_git(*arguments, outside=outside)
        if done.returncode:
            message = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip()) or f"exit code {done.returncode}"
            what = f"the origin {self.config['url']} cannot be fetched" if reason == UNREACHABLE else f"git {arguments[0]}"
            raise PullError(reason, f"{what}: {message}")
        return done.stdout.strip()

    def record_result(self, reason: str) -> None:
        """Save the result and publish the metrics of this run. Without any, the earlier ones are removed, because they would seem fresh."""
        if not reason:
            self.save_state(success=time.time())
        self.save_state(running=False, reason=reason)
        folder = self.config.get("metrics_dir")
        if not folder:
            return
        self.path(folder).mkdir(mode=0o755, parents=True, exist_ok=True)
        fresh, published = self.state_dir / "fresh.prom", self.path(folder) / HOST_METRICS
        if fresh.exists():
            _replace(published, fresh.read_text(encoding="utf-8"), 0o644)
            fresh.unlink()
        else:
            published.unlink(missing_ok=True)
        _replace(self.path(folder) / OWN_METRICS, render_metrics(self.state), 0o644)

    def save_state(self, **values: Any) -> None:
        """Update the state and its file."""
        self.state.update(values)
        _replace(self.state_dir / "state.json", json.dumps(self.state) + "\n", 0o600)


def render_metrics(state: dict[str, Any]) -> str:
    """Return the agent's metrics in Prometheus' text format 0.0.4. state: as in state.json."""
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
    """Return a JSON object from a file; empty when the file is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _replace(path: Path, text: str, mode: int) -> None:
    """Replace the text of a file atomically.

    The folder of metrics may be another user's (`prometheus` for the distribution's node exporter), who can create links in it. Only a newly
    created file is opened, and a link at `path` is itself replaced: that user can falsify the metrics, but change no other file.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # O_EXCL and O_NOFOLLOW, with a random name
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


def _report(error: PullError) -> int:
    sys.stderr.write(f"bulkhead-pull: {error.reason}: {error}\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(Agent().record_end() if sys.argv[1:] == ["ended"] else Agent().run())
