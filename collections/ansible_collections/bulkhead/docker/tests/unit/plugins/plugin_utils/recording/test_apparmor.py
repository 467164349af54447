# SPDX-License-Identifier: GPL-3.0-or-later
"""Generated AppArmor entries: every recorded access is allowed, by few rules that are the same for all replicas."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.desired import read_apparmor_profiles
from ansible_collections.bulkhead.docker.plugins.module_utils.apparmor.signals import matches_label, read_signal_policy
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.paths import generalise_variables
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.apparmor import MOST_RULES, generate_apparmor_entry
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.file_rules import FileRule, generalise_paths
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.generation import ENFORCE, LOG, Generated, GenerationError
from ansible_collections.bulkhead.docker.plugins.plugin_utils.recording.model import ContainerMount, SeenAccess
from hypothesis import given
from hypothesis import strategies as st

from .samples import make_access, make_call, make_nginx, make_recording

# Accesses of the image nginx and of what its entrypoint starts, as they were recorded under docker-default.
NGINX = """
/ r | /etc/passwd r | /etc/group r | /etc/nsswitch.conf r | /etc/ld.so.cache r | /etc/localtime r | /etc/ssl/openssl.cnf r | /dev/null rw
/etc/nginx/nginx.conf r | /etc/nginx/mime.types r | /etc/nginx/conf.d/ r | /etc/nginx/conf.d/default.conf rw | /usr/sbin/nginx mrx
/usr/bin/dash mrx | /usr/bin/sed mrx | /usr/bin/find mrx | /usr/bin/sort mrx | /usr/bin/awk mrx | /usr/bin/basename mrx | /usr/bin/dpkg mrx
/usr/lib/x86_64-linux-gnu/libc.so.6 mr | /usr/lib/x86_64-linux-gnu/libssl.so.3 mr | /usr/share/nginx/html/index.html r | /run/nginx.pid rw
/docker-entrypoint.sh rx | /docker-entrypoint.d/ r | /docker-entrypoint.d/10-listen.sh rx | /docker-entrypoint.d/20-env.sh rx
/docker-entrypoint.d/30-tune.sh rx | /var/cache/nginx/client_temp/ w | /var/cache/nginx/proxy_temp/ w | /var/cache/nginx/fastcgi_temp/ w
/var/cache/nginx/uwsgi_temp/ w | /var/cache/nginx/scgi_temp/ w | /proc/PID/attr/exec w | /proc/PID/status r | /proc/PID/fd/PID r
/proc/sys/kernel/ngroups_max r | /sys/devices/system/cpu/online r | /tmp/tmp.RANDOM rw | /var/lib/dpkg/status r | /srv/PID.html r
/var/cache/nginx/client_temp/000PID rw
"""


def make_files(text: str, random_part: random.Random | None = None) -> list[SeenAccess]:
    """Return accesses, `PATH MASK` each. PID and RANDOM are replaced by what one replica has in their place."""
    chance = random_part or random.Random(1)
    found = []
    for item in text.replace("\n", " | ").split(" | "):
        if item.strip():
            path, mask = item.strip().rsplit(" ", 1)
            path = path.replace("PID", str(chance.randrange(1_000_000, 4_000_000)))
            path = path.replace("RANDOM", "".join(chance.choices("abcXYZ0189", k=10)))
            found.append(make_access(class_="file", path=generalise_variables(path), mask="".join(sorted(mask))))
    return list({each.key: each for each in found}.values())


OTHERS = [
    *(make_access(class_="capability", name=name) for name in ("chown", "setgid", "setuid", "dac_override", "net_bind_service")),
    *(
        make_access(class_="network", family=family, type=kind)
        for family, kind in (("inet", "stream"), ("inet6", "stream"), ("unix", "stream"))
    ),
    make_access(class_="signal", direction="receive", signal="quit", peer="runc"),
    make_access(class_="signal", direction="send", signal="quit", peer="docker-default"),
]


def generate(accesses: Iterable[SeenAccess], base: Any = None, stage: str = ENFORCE, **values: Any) -> Generated:
    return generate_apparmor_entry(make_nginx(access=accesses, **values), base, stage)


def render(generated: Generated) -> str:
    listed = read_apparmor_profiles([generated.entry])
    assert listed.blockers == []
    return listed.profiles[0].content


def list_rules(accesses: Iterable[SeenAccess], *mounts: ContainerMount) -> list[str]:
    return [rule.text for rule in generalise_paths(list(accesses), mounts)]


def test_nginx_has_at_most_80_rules_and_all_its_accesses() -> None:
    text = render(generate([*make_files(NGINX), *OTHERS]))
    rules = [
        line.strip()
        for line in text.splitlines()
        if line.startswith("  ") and line.endswith((",", ">")) and not line.strip().startswith("#")
    ]
    assert 40 < len(rules) <= MOST_RULES
    for rule in (
        "/usr/sbin/nginx rmix,",
        "/usr/lib/{,**} rm,",
        "/run/nginx.pid rw,",
        "capability setuid,",
        "network inet6 stream,",
        "/srv/{,**} r,",
    ):
        assert rule in rules
    assert "audit deny mount," in rules and "audit deny /proc/sys/** wkl," in rules
    assert read_signal_policy(text, "recorded-shop-web").is_allowed("term", "runc")


def test_rules_are_the_same_for_ten_replicas() -> None:
    texts = {render(generate([*make_files(NGINX, random.Random(seed)), *OTHERS])) for seed in range(10)}
    assert len(texts) == 1


def test_each_rule_has_a_reason() -> None:
    generated = generate([*make_files(NGINX), *OTHERS])
    named = {what for what, unused in generated.reasons}
    audited = {value if isinstance(value, str) else value["path"] for value in generated.entry["audited_denies"]}
    assert {*generated.entry["rules"], *generated.entry["capabilities"], *generated.entry["networks"], *audited} == named
    assert dict(generated.reasons)["/usr/lib/{,**} rm"] == (
        "recorded on web1 since 2026-11-20 for /usr/lib/x86_64-linux-gnu/libc.so.6, /usr/lib/x86_64-linux-gnu/libssl.so.3"
    )


@pytest.mark.parametrize(
    ("accesses", "expected"),
    [
        ("/data/a rw | /data/b rw", ["/data/a rw", "/data/b rw"]),
        ("/data/a rw | /data/b rw | /data/c rw", ["/data/* rw"]),
        ("/data/a rw | /data/b rw | /data/c r", ["/data/a rw", "/data/b rw", "/data/c r"]),
        ("/var/x/a/1 w | /var/x/b/1 w | /var/x/c/1 w", ["/var/x/** w"]),
        ("/etc/a r | /etc/b r | /etc/c r", ["/etc/a r", "/etc/b r", "/etc/c r"]),
        ("/etc/x/a r | /etc/x/b r | /etc/x/c r", ["/etc/x/* r"]),
        ("/etc/x/a rw | /etc/x/b rw | /etc/x/c rw", ["/etc/x/a rw", "/etc/x/b rw", "/etc/x/c rw"]),
        ("/etc/x/a/1 r | /etc/x/b/1 r | /etc/x/c/1 r", ["/etc/x/a/1 r", "/etc/x/b/1 r", "/etc/x/c/1 r"]),
        ("/a r | /b r | /c r", ["/a r", "/b r", "/c r"]),
        ("/sys/a/b/1 r | /sys/a/b/2 r | /sys/a/b/3 r", ["/sys/a/b/* r"]),
        ("/bin/a rx | /bin/b rx | /bin/c rx", ["/bin/a rix", "/bin/b rix", "/bin/c rix"]),
        ("/usr/lib/a mr | /usr/lib/x/b mrx", ["/usr/lib/x/b rmix", "/usr/lib/{,**} rm"]),
        ("/usr/lib/a rw", ["/usr/lib/a rw"]),
        ("/opt/app/lib/a r | /opt/app/b mr", ["/opt/app/{,**} rm"]),
        ("/opt/a r", ["/opt/a r"]),
        ("/x r | /x w | /x k", ["/x rwk"]),
    ],
)
def test_rules_of_paths(accesses: str, expected: list[str]) -> None:
    assert list_rules(make_files(accesses)) == expected


def test_many_programs_of_one_folder_are_one_rule() -> None:
    assert list_rules(make_files(" | ".join(f"/usr/bin/p{number} rx" for number in range(12)))) == ["/usr/bin/* rix"]


def test_a_mount_is_one_rule() -> None:
    accesses = make_files("/data/a r | /data/b/c wk | /data/run x | /datax r | /etc/x/a w")
    mounts = [ContainerMount("/data", "volume", "d"), ContainerMount("/etc/x", "bind", "/y")]
    assert list_rules(accesses, *mounts) == ["/data/run ix", "/data/{,**} rwk", "/datax r", "/etc/x/a w"]


def test_a_mount_whose_name_has_signs_of_patterns() -> None:
    accesses = make_files("/data[1]/a w | /data1/a w")
    assert list_rules(accesses, ContainerMount("/data[1]", "volume", "d")) == ["/data1/a w", "/data\\[1\\]/{,**} w"]


def test_owner_stays_where_all_writes_had_it() -> None:
    def file(path: str, owner: bool) -> SeenAccess:
        return make_access(class_="file", path=path, mask="w", owner=owner)

    assert list_rules([file("/tmp/a", True), file("/tmp/b", False), file("/data/c", True)]) == [
        "/data/c w",
        "/tmp/a w".replace("/", "owner /", 1),
        "/tmp/b w",
    ]


def test_paths_with_blanks_are_quoted() -> None:
    accesses = [make_access(class_="file", path="/data/a b", mask="r"), make_access(class_="file", path="/data/#", mask="r")]
    generated = generate(accesses)
    assert '"/data/a b" r' in generated.entry["rules"]
    assert generated.notes[0].startswith("is recorded, but cannot be written as a rule: '/data/# r' contains '#'")
    render(generated)


@pytest.mark.parametrize(
    ("access", "rule"),
    [
        ({"class_": "signal", "direction": "receive", "signal": "term", "peer": "other"}, "signal (receive) set=(term) peer=other"),
        ({"class_": "signal", "direction": "receive", "signal": "unknown", "peer": "other"}, "signal (receive) peer=other"),
        ({"class_": "signal", "direction": "receive", "signal": "term", "peer": "crun"}, None),
        ({"class_": "signal", "direction": "send", "signal": "usr1", "peer": "docker-default"}, None),
        ({"class_": "ptrace", "mask": "read", "peer": "docker-default"}, None),
        ({"class_": "ptrace", "mask": "read", "peer": "my label"}, 'ptrace (read) peer="my label"'),
        ({"class_": "unix", "type": "stream", "mask": "send", "peer": "x"}, "unix type=stream"),
        ({"class_": "mount", "operation": "umount", "path": "/x"}, "umount /x"),
        ({"class_": "mount", "operation": "pivotroot", "path": "/x"}, "pivot_root /x"),
        ({"class_": "mount", "operation": "remount", "path": "/x", "flags": "ro, remount"}, "remount options=(ro,remount) /x"),
        (
            {"class_": "mount", "operation": "mount", "path": "/a b", "fstype": "tmpfs", "flags": "rw, nosuid", "source": "none"},
            'mount fstype=tmpfs options=(rw,nosuid) none -> "/a b"',
        ),
    ],
)  # fmt: skip
def test_other_rules(access: dict[str, Any], rule: str | None) -> None:
    generated = generate([make_access(**access), make_access(class_="file", path="/x", mask="r")])
    rules = [each for each in generated.entry["rules"] if not each.startswith(("deny ", "audit deny ")) and each != "/x r"]
    assert rules == ([rule] if rule else [])
    render(generated)


@pytest.mark.parametrize(("call", "rule"), [("linkat", "/data/lock rwl"), ("rename", "/data/lock rw")])
def test_who_makes_hard_links_may_link_what_it_writes(call: str, rule: str) -> None:
    recording = make_recording([make_call(call)], access=make_files("/data/lock rw"))
    assert rule in generate_apparmor_entry(recording, None, "enforce").entry["rules"]


def test_the_target_of_a_link_has_the_permissions_of_the_link() -> None:
    link = make_access(class_="file", path="/data/lock", mask="l", target="/data/lock.tmp")
    rules = generate([link, *make_files("/data/lock rw | /data/lock.tmp w")]).entry["rules"]
    assert rules[:2] == ["/data/lock rwl", "/data/lock.tmp rw"]


def test_what_has_no_rule_is_a_note() -> None:
    generated = generate(
        [
            make_access(class_="other", operation="rlimit", detail="rlimit=nofile"),
            make_access(class_="network", family="newfamily", type="raw"),
            make_access(class_="userns"),
            make_access(class_="file", path="/y", mask="r", denied=True),
        ]
    )
    assert generated.notes == [
        "network newfamily: is recorded, but AppArmor has no rule for this family, so it is not allowed",
        "other operation=rlimit detail=\"rlimit=nofile\": is recorded, but no rule is known for it, so it is not allowed",
        "was denied while recording, and stays denied: file mask=r path=/y",
    ]  # fmt: skip


def test_a_deny_rule_that_contradicts_the_recording_is_left_out() -> None:
    generated = generate(
        [*make_files("/etc/shadow r | /proc/sys/net/core/somaxconn w"), make_access(class_="mount", operation="mount", path="/x")]
    )
    assert generated.entry["audited_denies"] == ["/proc/kcore", "/proc/sysrq-trigger", {"path": "/sys/**", "access": "wkl"}]
    assert "audit deny mount" not in generated.entry["rules"] and "audit deny @{PROC}/sys/[^k]** wkl" not in generated.entry["rules"]
    assert [note.partition(": ")[0] for note in generated.notes] == [
        "audit deny /etc/{,g}shadow{,-} rwklmx", "audit deny /proc/sys/** wkl", "audit deny @{PROC}/sys/[^k]** wkl",
    ]  # fmt: skip


def test_too_many_rules_are_a_note() -> None:
    generated = generate(make_files(" | ".join(f"/x{number}/a r" for number in range(90))))
    assert "mount a folder whose files have names that vary" in generated.notes[0]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (None, {"extends": "any"}),
        ({"name": "mine", "src": "mine.profile"}, {"extends": "any"}),
        (
            {"name": "mine", "state": "present", "description": "x", "extends": "web", "writable": ["/x"]},
            {"extends": "web", "writable": ["/x"]},
        ),
    ],
)
def test_stage_log_has_the_rules_of_the_base(base: Any, expected: dict[str, Any]) -> None:
    generated = generate(make_files("/x r"), base, LOG)
    assert generated.entry == {"name": "recorded-shop-web", "description": "stage log of shop-web", **expected}
    assert [what for what, unused in generated.reasons] == list(expected)
    render(generated)


@pytest.mark.parametrize(
    ("accesses", "stage", "message"),
    [
        ([], ENFORCE, "shop-web: no access was recorded by AppArmor; record the service first with playbooks/record.yml"),
        (make_files("/x r"), "record", "shop-web: stage 'record' has no AppArmor profile; write log or enforce"),
    ],
)
def test_what_cannot_be_generated_is_one_message(accesses: list[SeenAccess], stage: str, message: str) -> None:
    with pytest.raises(GenerationError) as caught:
        generate(accesses, None, stage)
    assert str(caught.value) == message


NAMES = st.sampled_from(["etc", "usr", "lib", "proc", "sys", "dev", "a", "b", "c", "d", "bin", "tmp", "opt", "srv"])
FILES = st.lists(
    st.tuples(st.lists(NAMES, min_size=1, max_size=5), st.sets(st.sampled_from("rwmklx"), min_size=1)), min_size=1, max_size=25
)


def covers(rule: FileRule, path: str, mask: set[str]) -> bool:
    return mask <= rule.mask and matches_label(rule.path, path, {}, False)


@given(FILES, st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=2))
def test_rules_allow_what_was_recorded_and_stay_narrow(files: list[tuple[list[str], set[str]]], mounted: list[list[str]]) -> None:
    accesses = [make_access(class_="file", path="/" + "/".join(names), mask="".join(sorted(mask))) for names, mask in files]
    mounts = [ContainerMount("/" + "/".join(names), "volume", "v") for names in mounted]
    rules = generalise_paths(accesses, mounts)
    for each in accesses:
        path, mask = each.access["path"], each.access["mask"]
        assert all(any(covers(rule, path, {letter}) for rule in rules) for letter in mask), (path, mask, rules)
    for rule in rules:
        assert rule.path not in ("/*", "/**", "/{,**}", "/etc/*", "/etc/**", "/proc/**", "/sys/**", "/dev/**")
        assert not (rule.path.startswith(("/etc/", "/proc/", "/sys/")) and "**" in rule.path)
    assert generalise_paths(accesses[::-1], mounts[::-1]) == rules
