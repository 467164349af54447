# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks names: of the container, its image, user, network, profiles, capabilities and stop signal. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...module_utils.apparmor.labels import is_unconfined_name
from ...module_utils.capabilities import CAPABILITIES
from ...module_utils.hardened.settings import CONTAINER_MODE, MODES
from ...module_utils.seccomp.desired import NAME as PROFILE_NAME
from ..suggestion import find_similar, suggest
from .values import SettingProblem, Written, explain_text, format_value, report, takes

# moby daemon/names: RestrictedNameChars; containers and volumes.
OBJECT = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
# Names of networks: compose-spec.json, `networks`.
NETWORK = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
# distribution/reference regexp.go, and the ID of an image.
_HOST = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PATH}(?:/{_PATH})*)(?::[a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}}|@sha512:[0-9a-f]{{128}})?"
)
_IMAGE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_USER = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_.@-]*\$?")
# moby/sys user: IDs are from 0 to 2^31-1.
_LAST_ID = (1 << 31) - 1
_SIGNALS = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 "
    "VTALRM WINCH XCPU XFSZ RTMIN RTMAX"
).split()  # moby/sys signal/signal_linux.go
_REAL_TIME = re.compile(r"RTMIN\+([1-9]|1[0-5])|RTMAX-([1-9]|1[0-4])")
_PROFILE_ADVICE = "write the name of a profile, or '' for the host's default"


@takes(str)
def check_name(value: Any, written: Written) -> Iterator[SettingProblem]:
    if not OBJECT.fullmatch(value):
        yield SettingProblem("", value, "is not a name for a container; write two or more letters, digits, dots, dashes and underscores")


@takes(str)
def check_image(value: Any, written: Written) -> Iterator[SettingProblem]:
    if not value or _IMAGE_ID.fullmatch(value):
        return  # `resolve_containers` reports an entry without an image
    match = _IMAGE.fullmatch(value)
    if re.fullmatch("[0-9a-f]{64}", value):
        yield SettingProblem("", value, f"is an ID; write sha256:{value}")
    elif not match or len(match["name"]) > 255:
        lower = value.lower()
        advice = lower if _IMAGE.fullmatch(lower) and not match else "REGISTRY/NAME:TAG, such as registry.example/shop:1.2"
        yield SettingProblem("", value, f"is not an image; write {advice}")


def check_user(value: Any, written: Written) -> Iterator[SettingProblem]:
    why = explain_text(value, written)
    if why or isinstance(value, float) or value == "":
        yield from report(value, why or "is not a user; write a number or a name, such as 65534:65534")
        return
    text = str(value)
    parts = text.split(":")
    numbers = [int(part) if re.fullmatch(r"\+?[0-9]+", part) else None for part in parts]
    if numbers[0] == 0 or parts[0] in ("", "root"):
        yield SettingProblem("", value, "is root; write the user that the service runs as, such as 65534:65534")
    elif len(parts) > 2 or not all(_USER.fullmatch(part) for part in parts):
        yield SettingProblem("", value, "is not a user; write USER or USER:GROUP as numbers or names, such as 65534:65534")
    elif any(number is not None and number > _LAST_ID for number in numbers):
        yield SettingProblem(
            "", value, f"contains an ID above {_LAST_ID}, which the engine rejects; write a lower one, such as 65534:65534"
        )


@takes(list)
def check_capabilities(value: Any, written: Written) -> Iterator[SettingProblem]:
    for name in value:
        if not isinstance(name, str) or name.upper().removeprefix("CAP_") not in CAPABILITIES:
            advice = suggest(name, CAPABILITIES, "write a name such as NET_BIND_SERVICE (man 7 capabilities)", 0.5)
            advice = "list the ones that the service needs" if name in ("ALL", "all") else advice
            yield SettingProblem("", value, f"contains {format_value(name)}, which is not a capability; {advice}")


@takes(str)
def check_seccomp_profile(value: Any, written: Written) -> Iterator[SettingProblem]:
    if value == "unconfined":
        yield SettingProblem("", value, f"confines nothing; {_PROFILE_ADVICE}")
    elif value and not PROFILE_NAME.fullmatch(value):
        yield SettingProblem("", value, f"is not the name of a profile; {_PROFILE_ADVICE}, without folder and .json")


@takes(str)
def check_apparmor_profile(value: Any, written: Written) -> Iterator[SettingProblem]:
    if is_unconfined_name(value):
        yield SettingProblem("", value, f"confines nothing; {_PROFILE_ADVICE}")
    elif value and (not value.isprintable() or any(character.isspace() for character in value)):
        yield SettingProblem("", value, f"is not the name of a profile; {_PROFILE_ADVICE}")


@takes(str)
def check_network(value: Any, written: Written) -> Iterator[SettingProblem]:
    if not value:
        return
    if value.startswith(CONTAINER_MODE):
        if not OBJECT.fullmatch(value.removeprefix(CONTAINER_MODE)):
            yield SettingProblem("", value, "does not name a container; write container:NAME")
    elif value.startswith("service:"):
        yield SettingProblem("", value, f"is not a network; write {CONTAINER_MODE}{value.removeprefix('service:')}")
    elif not NETWORK.fullmatch(value):
        yield SettingProblem("", value, f"is not a network; write the name of one, {', '.join(MODES)} or container:NAME")


@takes(str)
def check_stop_signal(value: Any, written: Written) -> Iterator[SettingProblem]:
    if not value:
        return
    name = value.upper().removeprefix("SIG")
    number = int(value) if re.fullmatch("[0-9]{1,3}", value) else None
    good = 1 <= number <= 64 if number is not None else name in _SIGNALS or _REAL_TIME.fullmatch(name)
    if not good:
        yield SettingProblem(
            "", value, f"is not a signal; write SIG{find_similar(name, _SIGNALS, 0.5) or 'TERM'}, or its number from 1 to 64"
        )


def check_choice(value: Any, choices: tuple[str, ...]) -> Iterator[SettingProblem]:
    if value not in choices or not isinstance(value, str):
        listed = f"write {', '.join(choices[:-1])} or {choices[-1]}"
        # YAML 1.1 reads `no` without quotes as a boolean.
        why = "is a boolean, as YAML reads no without quotes; put it in quotes" if isinstance(value, bool) else f"is not valid; {listed}"
        yield from report(value, why)
