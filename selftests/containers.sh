#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Mailboxes by path, in what others have made: sandboxes, security modules, event loops, systemd.
# What Documentation/containers.rst shows is tried here.  What is not installed is skipped.
# shellcheck disable=SC2016 # expressions are for the shells that are started
set -u

skip_all()
{
	echo "TAP version 13"
	echo "1..0 # SKIP $*"
	exit 4
}

# In an office and with mounts of its own.
if [ -z "${KPOST_CONTAINERS-}" ]; then
	[ "$(id -u)" = 0 ] || skip_all "mounting needs root"
	KPOST_CONTAINERS=1 exec unshare --net --mount "$0" "$@"
fi

work=$(mktemp -d)
chmod 755 "$work"
dir=$work/dir
count=0
failed=0
export WORK=$work DIR=$dir
trap 'umount "$dir" 2>/dev/null; rm -rf "$work"' EXIT
kpost mount "$dir" || exit

# is NAME EXPECTED COMMANDS: they print that.
is()
{
	local expected got
	printf -v expected %b "$2"
	expected=${expected%$'\n'}
	got=$(timeout 120 bash -c "$3" 2>"$work/stderr" </dev/null)
	count=$((count + 1))
	if [ "$got" = "$expected" ]; then
		echo "ok $count - $1"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $1"
	echo "# printed '$got'"
	sed 's/^/# /' "$work/stderr"
}

# needs PROGRAM NAME: or the test is skipped.
needs()
{
	! command -v "$1" >/dev/null || return 0
	skip "$2" "there is no $1"
	return 1
}

skip()
{
	count=$((count + 1))
	echo "ok $count - $1 # SKIP $2"
}

# Files that an unprivileged user can see, none of them /dev/kpost, and one mailbox.
sandbox='timeout 60 bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /run --unshare-all'
as_user='setpriv --reuid 65534 --regid 65534 --clear-groups'
export sandbox as_user

bubblewrap()
{
	local name='bwrap: a sandbox without /dev/kpost sends to a bound mailbox'
	needs bwrap "$name" || return
	[ -e /proc/net/tcp ] || { skip "$name" "the kernel has no IPv4, whose loopback bwrap sets up"; return; }
	kpost create --mode 622 "$dir/bwrap"
	is "$name" \
		'no device\nanother network\nhello\nhello\n' '
		$sandbox --bind "$DIR/bwrap" /run/jobs sh -c "
			[ -e /dev/kpost ] || echo no device; readlink /proc/self/ns/net
			echo hello >/run/jobs" | sed "s/^$(readlink /proc/self/ns/net | tr "[]" ..)\$/the same/; s/^net:.*/another network/"
		$as_user $sandbox --bind "$DIR/bwrap" /run/jobs sh -c "echo hello >/run/jobs"
		for _ in 1 2; do kpost recv -t 0 --raw "$DIR/bwrap"; done'
	is '... and is refused to receive' 'Permission denied\nPermission denied\nkept\n' '
		kpost send "$DIR/bwrap" <<<kept
		$as_user $sandbox --bind "$DIR/bwrap" /run/jobs sh -c "
			cat /run/jobs; kpost recv -t 0 /run/jobs" 2>&1 | grep -io "permission denied" | sed s/^p/P/
		kpost recv -t 0 "$DIR/bwrap"'
	is '... and where the directory is bound read-only makes and removes nothing, and sends' \
		'5 refused of 5\nhello\n' '
		refused() { n=0 of=0; for c; do of=$((of + 1)); eval "$c" 2>/dev/null || n=$((n + 1)); done
			echo $n refused of $of; }
		export -f refused
		$sandbox --ro-bind "$DIR" "$DIR" bash -c "refused \"mkfifo $DIR/new\" \"rm -f $DIR/bwrap\" \
			\"chmod 666 $DIR/bwrap\" \"kpost create $DIR/new\" \"kpost rm $DIR/bwrap\"
			echo hello >$DIR/bwrap"
		kpost recv -t 0 --raw "$DIR/bwrap"'
	kpost rm "$dir/bwrap"
}

# By path: the shell may write to one, and nothing else.
apparmor()
{
	local name='AppArmor: a profile for one mailbox lets it be sent to, and nothing else'
	needs apparmor_parser "$name" || return
	needs aa-exec "$name" || return
	[ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] ||
		{ skip "$name" "the kernel does not use it"; return; }
	[ -d /sys/kernel/security/apparmor ] || mount -t securityfs securityfs /sys/kernel/security
	kpost create --mode 666 "$dir/jobs"
	kpost create --mode 666 "$dir/other"
	cat >"$work/profile" <<-END
	profile kpost-selftest {
	  file mrix /{,usr/}{bin,sbin,lib,lib64}/**,
	  /etc/ld.so.cache r,
	  /proc/** r,
	  $dir/jobs w,
	}
	END
	is "$name" '0\n5 refused\nhello\n' '
		apparmor_parser -r -K "$WORK/profile" || exit
		$as_user aa-exec -p kpost-selftest -- sh -c "echo hello >$DIR/jobs; echo \$?
			n=0
			(: <$DIR/jobs) || n=\$((n + 1)); (: >$DIR/other) || n=\$((n + 1))
			(: <$DIR) || n=\$((n + 1)); (: >/dev/kpost) || n=\$((n + 1))
			mkfifo $DIR/new || n=\$((n + 1)); echo \$n refused" | cat
		kpost recv -t 0 --raw "$DIR/jobs"; apparmor_parser -R "$WORK/profile"'
	kpost rm jobs other
}

languages()
{
	mkfifo "$dir/python" "$dir/node"
	if needs python3 'Python: asyncio reads a mailbox and writes to it as to a pipe'; then
		is 'Python: asyncio reads a mailbox and writes to it as to a pipe' 'one two three\n' '
			exec python3 - <<-END
			import asyncio, os
			async def main():
			    loop = asyncio.get_running_loop()
			    reader = asyncio.StreamReader()
			    path = os.environ["DIR"] + "/python"
			    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), open(path, "rb", 0))
			    out = open(path, "wb", 0)
			    out.write(b"one")
			    got = [await asyncio.wait_for(reader.read(100), 60)]
			    out.write(b"two")
			    got.append(await asyncio.wait_for(reader.read(100), 60))
			    transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, out)
			    transport.write(b"three")
			    got.append(await asyncio.wait_for(reader.read(100), 60))
			    print(*(g.decode() for g in got))
			asyncio.run(main())
			END'
	fi
	if needs node 'Node: net.Socket reads a mailbox, message by message'; then
		is 'Node: net.Socket reads a mailbox, message by message' 'one\ntwo\n' '
			exec node -e "
			const net = require(\"net\"), fs = require(\"fs\"), path = process.env.DIR + \"/node\";
			const to = fs.openSync(path, \"w\");
			const from = new net.Socket({ fd: fs.openSync(path, \"r\"), readable: true });
			let got = 0;
			from.on(\"data\", data => {
				console.log(String(data));
				if (++got == 2)
					process.exit(0);
				fs.writeSync(to, \"two\");
			});
			from.on(\"error\", error => { console.log(error.code); process.exit(1); });
			fs.writeSync(to, \"one\");"'
	fi
	kpost rm python node
}

unit()
{
	printf '[Unit]\nDefaultDependencies=no\n%s\n' "$2" >"$work/units/$1"
}

# As process 1 of a pid namespace, with units of this test and no others.
systemd()
{
	local name='systemd: ListenFIFO= makes a mailbox, and a message starts the service, each time'
	local manager=/lib/systemd/systemd cgroup=/sys/fs/cgroup/kpost-selftest
	[ -x $manager ] || { skip "$name" "there is no systemd"; return; }
	mkdir "$work/units" "$cgroup" 2>/dev/null
	[ -e "$cgroup/cgroup.procs" ] || { skip "$name" "there are no cgroups of version 2"; return; }
	cp "$(dirname "$0")/../tools/packaging/run-kpost.mount" "$work/units" || return
	unit jobs.socket "[Socket]
ListenFIFO=/run/kpost/jobs
SocketUser=daemon
SocketMode=0622"
	unit jobs.service "[Service]
User=daemon
Environment=PATH=$PATH LD_LIBRARY_PATH=${LD_LIBRARY_PATH-}
ExecStart=$(command -v kpost) recv --raw --follow --timeout 1 /run/kpost/jobs
SuccessExitStatus=4
StandardOutput=append:$work/jobs
StandardError=null"
	unit sandboxed.service "[Service]
Type=oneshot
User=games
PrivateNetwork=yes
PrivateDevices=yes
TemporaryFileSystem=/run:ro
BindPaths=/run/kpost/results:/run/results
ExecStart=/bin/sh -c '[ -e /dev/kpost ] || echo sandboxed >/run/results; cat /run/results || :'
StandardError=append:$work/refused"
	unit test.target "Wants=test.service"
	unit test.service "Requires=run-kpost.mount
Wants=jobs.socket
After=run-kpost.mount jobs.socket
[Service]
Type=oneshot
Environment=PATH=$PATH LD_LIBRARY_PATH=${LD_LIBRARY_PATH-}
ExecStart=/bin/bash $work/test
ExecStopPost=/bin/kill -RTMIN+13 1
StandardOutput=append:$work/told
StandardError=append:$work/told.err"
	cat >"$work/test" <<-END
	soon() { for _ in {1..300}; do "\$@" && return; sleep 0.1; done; }
	stat -c '%F %U %a' /run/kpost/jobs
	for job in one two; do
		echo \$job >/run/kpost/jobs
		soon grep -qs \$job $work/jobs
		soon eval '! systemctl -q is-active jobs.service'
	done
	cat $work/jobs
	echo 'p /run/kpost/results 0622 daemon users -' | systemd-tmpfiles --create -
	stat -c '%F %U %G %a' /run/kpost/results >$work/made
	systemctl start sandboxed.service
	kpost recv -t 0 --raw results >$work/results
	END
	cat >"$work/begin" <<-END
	mount -t proc proc /proc
	umount -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit
	mount -t tmpfs -o mode=755 tmpfs /run
	mkdir -p /run/systemd/system
	cp $work/units/* /run/systemd/system
	exec env -i container=kpost PATH=/usr/sbin:/usr/bin:/sbin:/bin $manager --system \
		--unit=test.target --log-target=null --show-status=no
	END
	# It takes the cgroup that it finds itself in for its own.
	bash -c 'echo $$ >"$1/cgroup.procs"
		exec timeout -k 5 240 unshare --pid --fork --mount --uts --ipc --cgroup --kill-child bash "$0"' \
		"$work/begin" "$cgroup" >"$work/manager" 2>&1
	find "$cgroup" -depth -type d -exec rmdir {} +
	is "$name" 'fifo daemon 622\none\ntwo\n' 'cat "$WORK/told" "$WORK/told.err"'
	is "... and tmpfiles makes one" 'fifo daemon users 622\n' 'cat "$WORK/made"'
	is "... to which a service with a network of its own sends, and no more" \
		'sandboxed\nPermission denied\n' 'cat "$WORK/results"; grep -o "Permission denied" "$WORK/refused"'
}

echo 'TAP version 13'
[ $# -gt 0 ] || set -- bubblewrap apparmor languages systemd
for part; do
	"$part"
done
echo "1..$count"
echo "# $((count - failed)) passed, $failed failed"
[ $failed -eq 0 ]
