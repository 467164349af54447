# SPDX-License-Identifier: GPL-3.0-or-later
"""`audit` in front of what is allowed, and nowhere else."""

from __future__ import annotations

import pytest
from ansible_collections.bulkhead.docker.plugins.module_utils.recorder.audit_text import add_audit

# Rules of man 5 apparmor.d. «» marks where `audit` is expected.
RULES = """
«»/a r,
«»/a r, «»/b w, deny /c w, «»/d r,
«»owner /home/** rw,
«»allow owner /home/** rw,
«»rw /leading,
«»"/quoted, path" r,
«»@{HOME}/x r,
«»/with,comma r,
«»/{a,b}/[^,]* r,
«»file,
«»file /p r,
«»unsafe /bin/c ux,
«»/bin/a px -> y,
«»/bin/{a,b} Cix -> child, «»/bin/b ix,
«»link subset /a -> /b,
«»capability,
«»allow capability chown dac_override,
«»network,
«»network inet stream,
«»network netlink raw ip=1.2.3.4 peer=(ip=none),
«»mount,
«»mount options=(ro, bind) /{a,b}/ -> /c/{d,e},
«»mount fstype=(tmpfs, {ext,x}fs) -> /scratch/,
«»remount /x,
«»umount /y/{,**},
«»pivot_root oldroot=/a /b -> c,
«»signal (receive) set=(term, kill) peer={unconfined,runc,/**/{runc,crun}},
«»ptrace (read) peer="@{profile_name}",
«»dbus send bus=session path=/x interface="{a,b}" peer=(name=c,label=d),
«»unix (connect) type=stream peer=(label=x,addr="@y{,z}"),
«»userns create,
«»io_uring (override_creds, sqpoll) label=x,
«»mqueue (read, create) type=posix /x{,y},
«»change_profile,
«»change_profile /a -> {b,c},
«»all,
priority=5 «»/x r,
priority = -7 «»allow owner /q rw,
priority=5 deny /x r,
priority=-5 audit /x r,
audit /x r,
audit allow owner /x r,
audit deny /x w,
deny owner /x w,
deny @{PROC}/{[^1-9],[^1-9][^0-9]}/** w,   # deny /a comment, with a rule
set rlimit nofile <= 10,
rlimit cpu <= 3 s,
include if exists <local/x>
#include <abstractions/base>
##included <abstractions/base>
abi <abi/3.0>,
@{LOCAL}=/y /z, deny
$SWITCH = true
# «a comment
owner { «»/o r, audit /p r, deny /q w, }
audit { /in r, deny /q w, }
audit allow { /in r, }
deny { /in w, }
if $SWITCH { «»/if r, } else if not defined $OTHER { «»/el r, } else { deny /no r, «»/yes r, }
if @{ONE} in (a b) { «»/if r, }
^hat { «»/hat r, deny /h w, }
hat two { «»/two r, }
profile child /bin/x flags=(attach_disconnected) { «»/c r, owner { «»/d r, } }
/sub { «»/s r, }
"""


@pytest.mark.parametrize("rule", RULES.strip().splitlines())
def test_a_rule(rule: str) -> None:
    text = f"abi <abi/3.0>,\nprofile x /bin/x {{\n  {rule}\n  «»/last r,\n}}\n"
    assert add_audit(text.replace("«»", "")) == text.replace("«»", "audit ")


def test_statements_outside_of_profiles_stay() -> None:
    text = "abi <abi/3.0>,\n@{A}=/a /b\n$B = true\nalias /a -> /b,\ninclude <tunables/global>\n"
    assert add_audit(text) == text


def test_every_profile_and_hat_of_a_text() -> None:
    text = "profile a { /x r, }\n^hat { /y r, }\n/bin/b { /z r, }\n:ns:c { /n r, }"
    assert add_audit(text) == "profile a { audit /x r, }\n^hat { audit /y r, }\n/bin/b { audit /z r, }\n:ns:c { audit /n r, }"


def test_a_text_with_audit_stays() -> None:
    text = add_audit("profile a {\n" + RULES.replace("«»", "") + "}\n")
    assert add_audit(text) == text
    assert "audit audit" not in text


def test_an_unfinished_text_is_only_read() -> None:
    for text in ("", "profile x {", "profile x { /a r", "priority", "profile x { priority=", 'profile x { "/a'):
        assert add_audit(text).replace("audit ", "") == text
