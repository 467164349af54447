# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line of docker.service, read from its unit files."""

from __future__ import annotations

import os

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.engine import flags, unit
from ansible_collections.bulkhead.docker.plugins.module_utils.engine.instance import Instance
from ansible_collections.bulkhead.docker.plugins.module_utils.host.root import Host, Owner

from ...builders import write_files

DEBIAN = (
    "[Service]\nEnvironmentFile=-/etc/default/docker\nExecStart=/usr/sbin/dockerd -H fd:// --containerd=/run/containerd.sock $DOCKER_OPTS\n"
)
FRAGMENT = "/usr/lib/systemd/system/docker.service"
OVERRIDE = "/etc/systemd/system/docker.service.d/override.conf"


def test_missing_unit_is_empty(host: Host) -> None:
    assert unit.read_unit(host) == unit.Unit()


def test_variables_of_the_environment_file_are_expanded(host: Host) -> None:
    write_files(host, {FRAGMENT: DEBIAN, "/etc/default/docker": '# DOCKER_OPTS="--icc=true"\nDOCKER_OPTS="--icc=false --dns 9.9.9.9"\n'})
    found = unit.read_unit(host)
    assert flags.find_dockerd_arguments(found.argv) == [
        "-H",
        "fd://",
        "--containerd=/run/containerd.sock",
        "--icc=false",
        "--dns",
        "9.9.9.9",
    ]
    assert unit.find_flag_file("icc", found.files) == "/etc/default/docker"
    assert unit.find_flag_file("host", found.files) == FRAGMENT


def test_last_drop_in_is_valid(host: Host) -> None:
    write_files(
        host,
        {
            FRAGMENT: DEBIAN,
            OVERRIDE: "[Service]\nExecStart=\nExecStart=/usr/sbin/dockerd \\\n  --userland-proxy=false \\\n  -H unix:///run/docker.sock\n",
        },
    )
    found = unit.read_unit(host)
    assert flags.parse_flags(flags.find_dockerd_arguments(found.argv)) == {"userland-proxy": "false", "host": "unix:///run/docker.sock"}
    assert unit.find_flag_file("userland-proxy", found.files) == OVERRIDE


def test_flag_in_a_comment_is_ignored(host: Host) -> None:
    write_files(host, {FRAGMENT: DEBIAN + "# --icc=false\n"})
    assert unit.find_flag_file("icc", unit.read_unit(host).files) == ""


def test_unit_in_etc_replaces_the_distributions(host: Host) -> None:
    write_files(host, {FRAGMENT: DEBIAN, "/etc/systemd/system/docker.service": "[Service]\nExecStart=/usr/bin/nice dockerd --icc=false\n"})
    found = unit.read_unit(host)
    assert list(found.files) == ["/etc/systemd/system/docker.service"]
    assert flags.find_dockerd_arguments(found.argv) == ["--icc=false"]


def test_drop_ins_are_sorted_and_etc_comes_first(host: Host) -> None:
    paths = ("/usr/lib/systemd/system/x.d/10-a.conf", "/etc/systemd/system/x.d/10-a.conf", "/run/systemd/system/x.d/05-b.conf")
    write_files(host, dict.fromkeys((*paths, "/usr/lib/systemd/system/x.d/20-c.conf"), ""))
    host.path("/etc/systemd/system/x.d/20-c.conf").symlink_to("/dev/null")
    assert unit.list_drop_ins(host, "x.d") == ["/run/systemd/system/x.d/05-b.conf", "/etc/systemd/system/x.d/10-a.conf"]


def test_environment_file_is_read_with_the_users_rights(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    user = Instance("u", 990, 991, "/home/u")
    write_files(
        host,
        {
            "/etc/systemd/user/docker.service": "[Service]\nEnvironmentFile=/root/secret\nExecStart=dockerd-rootless.sh --label=${PW}\n",
            "/root/secret": "PW=hunter2\n",
        },
    )
    taken: list[Owner | None] = []
    real = Host.read

    def read(self: Host, path: str, limit: int = 1 << 20, user: Owner | None = None) -> str | None:
        if path == "/root/secret":
            taken.append(user)
            raise PermissionError(13, "Permission denied", path)
        return real(self, path, limit, user)

    monkeypatch.setattr(Host, "read", read)
    found = unit.read_unit(host, user)
    assert taken == [Owner("/home/u", 990, 991)]
    assert found.argv == ["dockerd-rootless.sh", "--label="] and "/root/secret" not in found.files


def test_environment_file_that_is_a_pipe_is_ignored(host: Host) -> None:
    user = Instance("u", os.geteuid(), os.getegid(), "/home/u")
    write_files(host, {"/etc/systemd/user/docker.service": "[Service]\nEnvironmentFile=/tmp/fifo\nExecStart=dockerd-rootless.sh\n"})
    host.path("/tmp").mkdir()
    os.mkfifo(host.path("/tmp/fifo"))
    assert unit.read_unit(host, user).argv == ["dockerd-rootless.sh"]


COMMENTED = """[Service]
ExecStart=/usr/sbin/dockerd -H fd:// \\
  # --data-root=/srv/docker \\
  ; --icc=true \\
  --debug
[Install]
ExecStart=/usr/sbin/dockerd --live-restore
"""


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        (COMMENTED, ["/usr/sbin/dockerd", "-H", "fd://", "--debug"]),
        ("[Service]\nExecStart=/x/a\nExecStart=\nExecStart=/x/dockerd --b\n", ["/x/dockerd", "--b"]),
        ("ExecStart=/x/dockerd --outside\n[Service]\n", []),
        ("[Service]\nEnvironment=A=1\nEnvironment=\nExecStart=/x/dockerd ${A} $A\n", ["/x/dockerd", ""]),
        ("[Service]\nEnvironment='A=--icc=true --debug' \"B=2\"\nExecStart=/x/dockerd $A ${A}${B}\n",
         ["/x/dockerd", "--icc=true", "--debug", "--icc=true --debug2"]),
        ("[Service]\nExecStart=-/x/dockerd 'a b' \"c\\x20d\" e\\sf $$A %n %% %i\n",
         ["/x/dockerd", "a b", "c d", "e f", "$A", "docker.service", "%", ""]),
        ("[Service]\nEnvironment=A=1\nExecStart=:/x/dockerd $A ${A}\n", ["/x/dockerd", "$A", "${A}"]),
        ("[Service]\nExecStart=@/x/dockerd engine --debug\n", ["/x/dockerd", "--debug"]),
        ("[Service]\r\nExecStart=/x/dockerd --a \\\r\n --b\r\n", ["/x/dockerd", "--a", "--b"]),
        ("[service]\nExecStart=/x/dockerd --icc\n", []),
    ],
)  # fmt: skip
def test_settings_are_read_as_systemd_does(host: Host, text: str, argv: list[str]) -> None:
    write_files(host, {FRAGMENT: text})
    assert unit.read_unit(host).argv == argv


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Service]\nExecStart=/x/dockerd --label='a\n", "line 2: ExecStart=: a quote is not closed; systemd skips it"),
        ('[Service]\nEnvironment="A=1\n', "line 2: Environment=: a quote is not closed"),
        ("[Service]\nEnvironment=A-B=1\n", "line 2: Environment= has a word that is not NAME=VALUE"),
        ("[Service]\nnonsense\n", "line 2: 'nonsense' is not a setting"),
        ("[Service\nExecStart=/x/dockerd\n", "line 1: [Service has no closing bracket"),
        ("[Service]\nExecStart=/x/dockerd\nExecStart=/y/dockerd\n", "line 3: a second ExecStart="),
    ],
)
def test_what_systemd_skips_is_named_with_its_line(host: Host, text: str, problem: str) -> None:
    write_files(host, {FRAGMENT: DEBIAN, OVERRIDE: text})
    found = unit.read_unit(host)
    assert [entry for entry in found.problems if entry.startswith(f"{OVERRIDE}: {problem}")], found.problems
    assert found.argv[0] == "/usr/sbin/dockerd", "the earlier command counts"


ENVIRONMENT = """# comment \\
A="--icc=false \\"x\\"" 'y'
; B=1
 B = spaced value   \nC=two\\
lines
export D=1
no assignment
E='a$b' c
F="open
end
"""


def test_environment_file_is_read_as_systemd_does(host: Host) -> None:
    problems: list[str] = []
    assert unit.parse_environment(ENVIRONMENT, problems) == {
        "A": '--icc=false "x"y', "B": "spaced value", "C": "twolines", "E": "a$bc", "F": "open\nend\n"
    }  # fmt: skip
    assert problems == ["line 7: 'export D' is not a variable's name", "line 8: it is not a variable (NAME=VALUE)"]


def test_environment_files_have_precedence_and_globs(host: Host) -> None:
    write_files(
        host,
        {
            FRAGMENT: "[Service]\nEnvironmentFile=/etc/x/*.env\nEnvironmentFile=-/etc/y\nEnvironment=A=unit\nExecStart=/x/dockerd $A $B\n",
            "/etc/x/1.env": "A=one\nB=one\n",
            "/etc/x/2.env": "B=--data-root=/srv\n",
        },
    )
    assert unit.read_unit(host).argv == ["/x/dockerd", "one", "--data-root=/srv"]
    assert unit.find_flag_file("data-root", unit.read_unit(host).files) == "/etc/x/2.env"
    write_files(host, {"/etc/systemd/system/docker.service.d/a.conf": "[Service]\nEnvironmentFile=\n"})
    assert unit.read_unit(host).argv == ["/x/dockerd", "unit"]


def test_environment_file_that_is_not_utf8_is_skipped(host: Host) -> None:
    write_files(host, {FRAGMENT: "[Service]\nEnvironmentFile=-/etc/y\nExecStart=/x/dockerd $A\n", "/etc/y": b"A=1\nB=\xff\n"})
    found = unit.read_unit(host)
    assert (found.argv, found.problems) == (["/x/dockerd"], ["/etc/y: it is not UTF-8; systemd skips it"])


def test_drop_ins_of_all_services_and_of_the_alias(host: Host) -> None:
    write_files(host, {"/usr/lib/systemd/system/moby.service": DEBIAN})
    host.path(FRAGMENT).symlink_to("moby.service")
    write_files(
        host,
        {
            "/etc/systemd/system/service.d/50.conf": "[Service]\nEnvironment=DOCKER_OPTS=--a\n",
            "/usr/lib/systemd/system/moby.service.d/60.conf": "[Service]\nEnvironment=DOCKER_OPTS=--b\n",
        },
    )
    assert unit.read_unit(host).argv[-1] == "--b"
    write_files(host, {"/run/systemd/system/docker.service.d/60.conf": "[Service]\n"})
    assert unit.read_unit(host).argv[-1] == "--a"


def test_sockets_of_a_socket_unit(host: Host) -> None:
    write_files(
        host, {"/usr/lib/systemd/system/docker.socket": "[Unit]\nDescription=x\n[Socket]\nListenStream=/run/docker.sock\nSocketMode=0660\n"}
    )
    assert unit.read_unit(host, name="docker.socket").listen == ["/run/docker.sock"]
    write_files(
        host,
        {
            "/etc/systemd/system/docker.socket.d/a.conf": "[Socket]\nListenStream=\nListenStream=%t/other.sock\n# ListenStream=/x\n",
            "/etc/systemd/system/socket.d/b.conf": "[Socket]\nListenStream=127.0.0.1:2375\n",
        },
    )
    assert unit.read_unit(host, name="docker.socket").listen == ["/run/other.sock", "127.0.0.1:2375"]
