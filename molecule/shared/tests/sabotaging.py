# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts the containers of container_sabotages.py at the same time, and compares a report with what the table expects of each."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.bulkhead.docker.plugins.module_utils.exposures.kinds import KINDS, NOTE, get_finding_id
from ansible_collections.bulkhead.docker.plugins.module_utils.layers.registry import PER_SERVICE
from container_sabotages import BENIGN, PLAIN, REMAP, ROOTLESS, SABOTAGES, Container

# Runs a script on the host as root and returns its output.
RunScript = Callable[[str], str]
USER = "rootless"  # rootless_docker_user
_IMAGE, _LABELLED = "sabotage-image", "sabotage-labelled"
# sshd is only the name of a process here.
_MAKE_IMAGES = f"""
root=$(mktemp -d)
for program in sleep sh cat touch id ls perl mknod mount nsenter; do
  path=$(readlink -f "$(command -v $program)")
  install -D "$path" "$root/bin/$program"
  for library in $(ldd "$path" | grep -o '/[^ ]*'); do [ -e "$root$library" ] || install -D "$(readlink -f "$library")" "$root$library"; done
done
cp "$root/bin/sleep" "$root/bin/sshd"
mkdir -p "$root/tmp"
import() {{ tar -C "$root" -c . | docker import -c 'ENV PATH=/bin' -c 'CMD ["/bin/sleep", "infinity"]' "$@" >/dev/null; }}
docker image inspect {_IMAGE} >/dev/null 2>&1 || import - {_IMAGE}
docker image inspect {_LABELLED} >/dev/null 2>&1 ||
  import -c 'LABEL io.bulkhead.probe=999999:1' -c 'LABEL io.bulkhead.token=00000000000000000000000000000000' - {_LABELLED}
rm -r "$root"
"""
# No engine gives a container clocks of its own. A start before the engine's needs a restart of the engine, which would affect every container.
UNTESTABLE = frozenset({"host_time", "outdated_start"})
_FORMAT = "{{.Name}} {{.Id}} {{.State.Status}} {{.State.Pid}} {{.State.StartedAt}} {{.RestartCount}}"
_LIST = f"docker ps -aq --no-trunc | xargs -r docker inspect -f '{_FORMAT}' | sort"


def list_containers(engine: str, fast: bool = False) -> list[Container]:
    """Return the containers for an engine, benign ones first, because others join them. fast: the set of CI."""
    return [container for container in (*BENIGN, *SABOTAGES) if engine in container.engines and (container.fast or not fast)]


def _open_script(engine: str) -> str:
    """Return the beginning of every script: it selects the engine."""
    if engine != ROOTLESS:
        return "data=$(docker info -f '{{.DockerRootDir}}')\n"
    return f"export DOCKER_HOST=unix:///run/user/$(id -u {USER})/docker.sock\ndata=$(docker info -f '{{{{.DockerRootDir}}}}')\n"


def start_containers(run: RunScript, containers: Iterable[Container], engine: str) -> str:
    """Start the containers, and return the errors: one line for each that did not start as described."""
    script = ["set -e", _open_script(engine), _MAKE_IMAGES, "set +e"]
    for container in containers:
        image = _LABELLED if container.label else _IMAGE
        users = "--userns=host" if container.host_users and engine == REMAP else ""
        steps = [
            f"name={shlex.quote(container.name)}",
            container.before or ":",
            f'docker run -d --pull never --network {container.network} --name "$name" {users} {container.options} {image} {container.command} >/dev/null',
            container.after or ":",
        ]
        # Not `( … ) || echo`: a shell ignores `set -e` in there.
        script.append(
            "\n".join(["(set -e", *steps, ") 2>/tmp/sabotage.err", f"[ $? = 0 ] || echo {container.name}: $(cat /tmp/sabotage.err)"])
        )
    return run("\n".join([*script, "true"])).strip()


def stop_containers(run: RunScript, containers: Sequence[Container], engine: str) -> None:
    """Remove the containers and all that their scripts made on the host."""
    names = " ".join(container.name for container in containers)
    undo = [f"( {container.undo} ) >/dev/null 2>&1 || true" for container in containers if container.undo]
    remove = f"docker rm -f -v {names} >/dev/null 2>&1 || true; docker rmi -f {_IMAGE} {_LABELLED} >/dev/null 2>&1 || true"
    run("\n".join([_open_script(engine), remove, *undo]))


def list_state(run: RunScript, engine: str) -> str:
    """Return name, ID, status, PID, start time and restarts of every container of the engine."""
    return run(_open_script(engine) + _LIST)


def list_expected(container: Container, engine: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the exposures and the layers' findings that are expected with this engine.

    A capability is dangerous only in the host's user namespace.
    """
    in_host = engine == PLAIN or (engine == REMAP and container.host_users)
    exposed = dict(container.exposed)
    if not in_host and "dangerous_capability" in exposed:
        exposed.setdefault("capability", exposed["dangerous_capability"])
        del exposed["dangerous_capability"]
    layers = dict(container.layers)
    if engine == REMAP and container.host_users:
        layers["userns.host_namespace absent"] = "user:"
    return exposed, layers


def find_mismatches(container: Container, report: Mapping[str, Any], engine: str) -> list[str]:
    """Return how the verdict on a container differs from the expected one, one message each."""
    found = next((entry for entry in report["verification"]["containers"] if entry["name"] == container.name), None)
    if found is None:
        return ["it is not in the report"]
    exposed, layers = list_expected(container, engine)
    problems = [
        f"no exposure {kind} with the evidence {pattern!r}, only {[e for e in found['exposures'] if e['kind'] == kind]}"
        for kind, pattern in exposed.items()
        if not any(e["kind"] == kind and re.search(pattern, json.dumps(e)) for e in found["exposures"])
    ]
    problems += _compare(
        {get_finding_id(kind) for kind in exposed if KINDS[kind].severity != NOTE},
        {
            f["id"]: f["text"]
            for f in found["findings"]
            if f["status"] and f["id"] not in {get_finding_id(kind) for kind in container.accepted}
        },
    )
    observed = {f["id"]: f["text"] for f in found["findings"] if not f["status"]}
    problems += _compare(set(container.observed), observed)
    problems += [
        f"the text of {key} does not contain {pattern!r}: {observed[key]}"
        for key, pattern in container.observed.items()
        if key in observed and not re.search(pattern, observed[key])
    ]
    seen = {f"{f['id']} {f['status']}": f["text"] for layer in found["layers"] for f in layer["findings"] if f["status"]}
    problems += [
        f"the text of {key} does not contain {pattern!r}: {seen[key]}"
        for key, pattern in layers.items()
        if key in seen and not re.search(pattern, seen[key])
    ]
    optional = {key for key in seen if key.split(".")[0] in PER_SERVICE and key not in layers}
    problems += _compare(set(layers), {key: text for key, text in seen.items() if key not in optional})
    return problems + _find_gaps(found)


def _compare(expected: set[str], seen: Mapping[str, str]) -> list[str]:
    missing = [f"{name} is not reported" for name in sorted(expected - set(seen))]
    return missing + [f"{name} is reported: {seen[name]}" for name in sorted(set(seen) - expected)]


def _find_gaps(found: Mapping[str, Any]) -> list[str]:
    """Return what a verdict lacks in itself: a finding without an exposure, or an exposure without a source that a reader can repeat."""
    known = {exposure["id"] for exposure in found["exposures"]}
    named = [f for f in found["findings"] if f["status"]]
    gaps = [f"{f['id']} refers to unknown exposures {f['exposures']}" for f in named if not known & set(f["exposures"])]
    return gaps + [f"{exposure['id']} has no source" for exposure in found["exposures"] if not exposure["source"]]


def find_untested_kinds() -> set[str]:
    """Return the kinds of exposure that no container of the table has."""
    return set(KINDS) - UNTESTABLE - {kind for container in (*BENIGN, *SABOTAGES) for kind in container.exposed}


_LOOP = "/run/sabotage-loop"


def start_loop(run: RunScript, engine: str) -> None:
    """Start a loop on the host that runs one short container after the other."""
    # Some end while they are read, others are still there to be judged.
    step = f"docker run --rm --network none {_IMAGE} /bin/sleep $((n % 3)) && echo >> {_LOOP}/count; n=$((n + 1))"
    body = f"n=0; while [ ! -e {_LOOP}/stop ]; do {step}; done; touch {_LOOP}/ended"
    run(f"{_open_script(engine)}rm -rf {_LOOP}; mkdir {_LOOP}; setsid sh -c {shlex.quote(body)} >/dev/null 2>&1 </dev/null &")


def stop_loop(run: RunScript, engine: str) -> int:
    """End the loop, and return how many containers ran to their end."""
    wait = f"for n in $(seq 120); do [ -e {_LOOP}/ended ] && break; sleep 1; done; wc -l < {_LOOP}/count || echo 0; rm -rf {_LOOP}"
    return int(run(f"{_open_script(engine)}touch {_LOOP}/stop; {wait}").split()[-1])


def find_race_problems(report: Mapping[str, Any], known: set[str]) -> list[str]:
    """Return what a report says about the host, and about containers that are not in the table. Those are short and benign."""
    verification = report["verification"]
    problems = [f"host: {finding['id']}: {finding['text']}" for finding in verification["findings"]]
    for container in verification["containers"]:
        if container["name"] not in known:
            found = [
                *container["findings"],
                *(f for layer in container["layers"] if layer["layer"] not in PER_SERVICE for f in layer["findings"]),
            ]
            problems += [f"{container['name']}: {f['id']} {f['status']}: {f['text']}" for f in found if f["status"]]
    return problems
