#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests of the kpost command. They need the module: tools/vm/run -- tools/kpost/check.sh [PART]...
# TAP on stdout.
# shellcheck disable=SC2016 # most expressions are for the shells that are started
set -u

top=$(cd "$(dirname "$0")/../.." && pwd)
PATH=${BUILD:-$top/build}/bin:$PATH
work=$(mktemp -d)
mailbox=check-$$
count=0
failed=0

# of a message or an answer, as JSON, where all are root's, and from a set-uid program
ids='"uid":0,"gid":0,"opener_uid":0,"opener_gid":0,"mixed_ids":false'
mixed='"uid":65534,"gid":65534,"opener_uid":0,"opener_gid":0,"mixed_ids":true'

cleanup()
{
	kpost rm "$mailbox" 2>/dev/null
	rm -rf "$work"
}
trap cleanup EXIT

# Starting a process is slow in an emulator: what the shell can do it does itself.

# same FILE EXPECTED: that, with \n and so on, is all that is in the file.
same()
{
	local text expected
	if [[ $2 == *\\0* ]]; then
		printf %b "$2" | cmp -s "$1" -
		return
	fi
	printf -v expected %b "$2"
	# It ends at a byte 0, or fails at the end.
	! IFS= read -r -d '' text <"$1" && [ "$text" = "$expected" ]
}

# is NAME STATUS EXPECTED COMMAND...: the command ends so and prints that.
is()
{
	local name=$1 status=$2 expected=$3 got
	shift 3
	"$@" >"$work/stdout" 2>"$work/stderr"
	got=$?
	count=$((count + 1))
	if [ $got -eq "$status" ] && same "$work/stdout" "$expected"; then
		echo "ok $count - $name"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $name"
	echo "# status $got, expected $status; output '$(tr -d '\0' <"$work/stdout")'"
	sed 's/^/# /' "$work/stderr"
}

# says NAME STATUS PATTERN COMMAND...: one line on stderr, which holds the pattern.
says()
{
	local name=$1 status=$2 pattern=$3 got line text='' lines=0
	shift 3
	"$@" >/dev/null 2>"$work/stderr"
	got=$?
	count=$((count + 1))
	while IFS= read -r line; do
		[[ $line == 'Try '* ]] && continue
		text=$line
		lines=$((lines + 1))
	done <"$work/stderr"
	if [ $got -eq "$status" ] && [ $lines -eq 1 ] && [[ $text =~ $pattern ]]; then
		echo "ok $count - $name"
		return
	fi
	failed=$((failed + 1))
	echo "not ok $count - $name"
	echo "# status $got, expected $status and '$pattern'"
	sed 's/^/# /' "$work/stderr"
}

# Waits until the command succeeds; a minute, and then whatever comes next says what is wrong.
soon()
{
	local end=$((SECONDS + 60))
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.05
	done
}

stat_has()
{
	kpost stat "${@:3}" "$1" | grep -q "$2"
}

sh_in()
(
	set +u
	export MAILBOX=$mailbox WORK=$work
	eval "$1"
)

basics()
{
	kpost rm "$mailbox"
	is 'create' 0 '' kpost create "$mailbox"
	is 'create again' 0 '' kpost create "$mailbox"
	says 'create --exclusive' 1 'exists already' kpost create --exclusive "$mailbox"
	is 'send and recv a line' 0 'hello\n' sh_in 'kpost send $MAILBOX <<<hello; kpost recv $MAILBOX'
	is 'recv --peek leaves the message' 0 'hello\nhello\nhello\n' sh_in \
		'kpost send $MAILBOX <<<hello; kpost recv --peek $MAILBOX; kpost recv --peek $MAILBOX
		 kpost recv $MAILBOX'
	says 'recv --peek of many' 2 'one message' kpost recv --peek --follow "$mailbox"
	is 'lines of any bytes, in order' 0 'a\n\n\0001\0377\0\nlast\n' sh_in \
		'printf "a\n\n\1\377\0\nlast" | kpost send $MAILBOX; kpost recv -n 4 $MAILBOX'
	is 'nothing sent is nothing there' 4 '' sh_in \
		'kpost send $MAILBOX </dev/null; kpost recv -t 0 $MAILBOX'
	is '--whole and --raw keep all bytes' 0 'a\nb\n' sh_in \
		'printf "a\nb\n" | kpost send --whole $MAILBOX; kpost recv --raw $MAILBOX'
	is '--priority' 0 'high\nlow\n' sh_in \
		'kpost send $MAILBOX <<<low; kpost send -p 9 $MAILBOX <<<high; kpost recv -n 2 $MAILBOX'
	is 'more lines than the mailbox holds' 0 '5000 49995001\n' sh_in \
		'seq 5000 9999 | kpost send $MAILBOX & kpost recv -n 5000 $MAILBOX >$WORK/out
		 wait; seq 5000 9999 | cmp - $WORK/out && echo 5000 49995001'
	is '--sync waits for receipt' 0 'a\nreceived\n' sh_in \
		'kpost send --sync $MAILBOX <<<a && echo received >$WORK/sync &
		 kpost recv $MAILBOX; wait; cat $WORK/sync'
	is '--tag, decimal and hexadecimal, with all digits' 0 \
		'"tag":18446744073709551615\n"tag":255\n"tag":0\n"tag":10\n' sh_in \
		'kpost send --tag 18446744073709551615 $MAILBOX <<<a
		 kpost send --tag 0XfF --whole $MAILBOX <<<b; kpost send $MAILBOX <<<c
		 kpost recv -n 3 --json $MAILBOX >$WORK/tags
		 kpost send --tag 010 --sync -t 10 $MAILBOX <<<d &
		 kpost recv -t 10 --json $MAILBOX >>$WORK/tags; wait; grep -o "\"tag\":[0-9]*" $WORK/tags'
	is 'recv --json tells when a message got in, not when it was received' 0 'later\n' sh_in \
		'kpost send $MAILBOX <<<x; sleep 0.3; kpost send $MAILBOX <<<y
		 kpost recv -n 2 --json $MAILBOX | sed "s/.*\"time\":\([0-9]*\).*/\1/" | {
			read -r first; read -r second; ((second - first > 200000000)) && echo later
		 }'
	says 'send --timeout on a full mailbox' 4 'timed out' sh_in \
		'kpost create --messages 1 $MAILBOX-1 && kpost send $MAILBOX-1 <<<a
		 kpost send -t 0.1 $MAILBOX-1 <<<b; s=$?; kpost rm $MAILBOX-1; exit $s'
	says 'recv --timeout' 4 'timed out' kpost recv -t 0.1 "$mailbox"
	is 'recv --json of text' 0 'he\\"llo\\n\n0\n7\n' sh_in \
		'printf "he\"llo\n" | kpost send --whole -p 7 $MAILBOX; kpost recv --json $MAILBOX >$WORK/json
		 sed -n "s/.*\"payload\":\"\(.*\)\"}/\1/p" $WORK/json
		 for key in uid priority; do
			grep -o "\"$key\":[0-9]*" $WORK/json | cut -d: -f2
		 done'
	is 'recv --json of bytes' 0 '"payload_base64":"/wA="\n' sh_in \
		'printf "\377\0" | kpost send $MAILBOX
		 kpost recv --json $MAILBOX | grep -o "\"payload_base64\":\"[^\"]*\""'
	is 'recv ended by a signal has printed what it took' 143 'x\n' sh_in \
		'kpost send $MAILBOX <<<x; kpost recv --follow $MAILBOX >$WORK/follow & pid=$!
		 while [ ! -s $WORK/follow ]; do sleep 0.05; done; kill $pid; wait $pid; s=$?
		 cat $WORK/follow; exit $s'
}

# What is closed, full, or read by nobody: each is told, and no message is lost for it.
output_lost()
{
	says 'send with stdin closed' 1 'standard input.*closed' sh_in 'kpost send $MAILBOX <&-'
	says 'call with stdin closed' 1 'standard input.*closed' sh_in 'kpost call $MAILBOX <&-'
	says 'ls with stdout closed' 1 'output.*closed' sh_in 'kpost ls >&-'
	says '--version with stdout closed' 1 'output.*closed' sh_in 'kpost --version >&-'
	says 'recv with stdout closed' 1 'output.*closed' sh_in \
		'kpost send $MAILBOX <<<kept; kpost recv -t 1 $MAILBOX >&-'
	says 'recv with stdout open for reading' 1 'output.*not open for writing' sh_in \
		'kpost recv -t 1 $MAILBOX 1</dev/null'
	is '... takes nothing' 0 'kept\n' kpost recv -t 0 "$mailbox"
	is 'call with stdout closed sends nothing' 1 '' sh_in \
		'kpost stat --json $MAILBOX >$WORK/before; kpost call -t 0.1 $MAILBOX x >&-; s=$?
		 kpost stat --json $MAILBOX | cmp - $WORK/before >&2 || exit 99; exit $s'
	is 'stdin, stdout and stderr closed' 0 'x\n' sh_in \
		'kpost send $MAILBOX <<<x; kpost recv -t 1 $MAILBOX <&- >&- 2>&- && exit 99
		 kpost recv -t 0 $MAILBOX'
	for line in --version --help 'recv --help' 'recv --usage' ls 'ls --json' info \
		"stat $mailbox" "stat --json $mailbox"; do
		says "$line to a full disk" 1 'No space left' sh_in "kpost $line >/dev/full"
	done
	says 'recv to a full disk tells what is lost' 1 \
		'No space left.*message [0-9]* of mailbox.* 4 bytes.* lost' sh_in \
		'seq 1001 1003 | kpost send $MAILBOX; kpost recv -n 3 $MAILBOX >/dev/full'
	is '... which is one message' 0 '1002\n1003\n' kpost recv -n 2 -t 0 "$mailbox"
	is 'recv waits for an output that does not block' 0 '1000001\n' sh_in \
		'kpost create --message-max 1000000 --bytes 1000000 $MAILBOX-b
		 head -c 1000000 /dev/zero | kpost send --whole $MAILBOX-b
		 (dd oflag=nonblock </dev/null 2>/dev/null; exec kpost recv -t 5 $MAILBOX-b) |
			(sleep 0.3; cat >$WORK/all); s=${PIPESTATUS[0]}
		 kpost rm $MAILBOX-b; wc -c <$WORK/all; exit $s'
	is 'recv ends when nobody reads its output' 141 '' sh_in \
		'timeout 20 kpost recv --follow $MAILBOX | true; exit ${PIPESTATUS[0]}'
	is '... also before it takes what is there' 141 'x\n' sh_in \
		'kpost send $MAILBOX <<<x
		 (sleep 0.5; exec timeout 20 kpost recv $MAILBOX) | true; s=${PIPESTATUS[0]}
		 kpost recv -t 0 $MAILBOX; exit $s'
	says '... and says so where SIGPIPE is ignored' 1 'nobody reads' sh_in \
		'trap "" PIPE; timeout 20 kpost recv --follow $MAILBOX | true; exit ${PIPESTATUS[0]}'
}

looking()
{
	is 'ls --names' 0 "$mailbox\n" sh_in 'kpost ls --names | grep -x $MAILBOX'
	is 'ls' 0 '' sh_in 'kpost ls | grep -q " $MAILBOX\$"'
	is 'ls --json' 0 '[1]\n' sh_in \
		'kpost ls --json | sed "s/{[^}]*\"name\":\"$MAILBOX\"[^}]*}/1/"'
	is 'stat --json' 0 '"messages":256\n' sh_in \
		'kpost stat --json $MAILBOX | grep -o "\"messages\":[0-9]*"'
	is 'stat --json tells what came unattended' 0 '"unattended":2,\n' sh_in \
		'kpost create $MAILBOX-u; printf "1\n2\n" | kpost send $MAILBOX-u
		 kpost recv -n 2 $MAILBOX-u >/dev/null; kpost send $MAILBOX-u <<<3
		 kpost stat --json $MAILBOX-u | grep -o "\"unattended\":[0-9]*,"; kpost rm $MAILBOX-u'
	is 'the identity is a string, in stat and ls the same, and not of who has the name next' 0 \
		'same\nanother\n' sh_in \
		'identity() { grep -o "\"identity\":\"[0-9]*\"" | grep -o "[0-9]*"; }
		 kpost create $MAILBOX-u; first=$(kpost stat --json $MAILBOX-u | identity)
		 [ "$first" = "$(kpost ls --json | tr { "\n" | grep "\"$MAILBOX-u\"" | identity)" ] &&
			kpost stat $MAILBOX-u | grep -qx "identity  $first" && echo same
		 kpost rm $MAILBOX-u; kpost create $MAILBOX-u
		 second=$(kpost stat --json $MAILBOX-u | identity); kpost rm $MAILBOX-u
		 [ -n "$first$second" ] && [ "$first" != "$second" ] && echo another'
	is 'stat does not close a mailbox' 0 'x\n' sh_in \
		'kpost send $MAILBOX <<<x; kpost stat $MAILBOX >/dev/null; kpost recv $MAILBOX'
	is 'set' 0 '"mode":"0640"\n"messages":5\n' sh_in \
		'kpost set --messages 5 --mode 640 $MAILBOX
		 kpost stat --json $MAILBOX | grep -oE "\"(messages|mode)\":[^,]*"'
	is 'create --mode 0' 0 '"mode":"0000"\n' sh_in \
		'kpost create --mode 0 $MAILBOX-0 && kpost stat --json $MAILBOX-0 |
			grep -oE "\"mode\":[^,]*"; kpost rm $MAILBOX-0'
	is 'set --mode 0' 0 '"mode":"0000"\n' sh_in \
		'kpost set --mode 0 $MAILBOX; kpost stat --json $MAILBOX | grep -oE "\"mode\":[^,]*"
		 kpost set --mode 600 $MAILBOX'
	is 'set --owner' 0 '"uid":65534\n' sh_in \
		'kpost set --owner nobody $MAILBOX
		 kpost stat --json $MAILBOX | grep -o "\"uid\":[0-9]*"; kpost set --owner root $MAILBOX'
	is 'info --json' 0 '"abi_version":1\n' sh_in \
		'kpost info --json | grep -o "\"abi_version\":[0-9]*"'
	is 'wait for what is there' 0 '' kpost wait "$mailbox"
	is 'wait until it is made' 0 '' sh_in \
		'(sleep 0.2; kpost create $MAILBOX-w) & kpost wait -t 10 $MAILBOX-w; s=$?
		 wait; kpost rm $MAILBOX-w; exit $s'
	says 'wait --timeout' 4 'timed out' kpost wait -t 0.1 "$mailbox-none"
}

calls()
{
	# As a serve would find them that is run by another one's command.
	KPOST_UID=0 KPOST_GID=0 KPOST_TAG=8 KPOST_BADGE=8 kpost serve --jobs 2 "$mailbox-s" -- sh -c '
		read -r line
		case $line in
		fail) exit 3 ;;
		long) head -c 100000 /dev/zero ;;
		slow) sleep 0.3; echo done ;;
		who) echo "${KPOST_UID-none} ${KPOST_GID-none}" ;;
		header) echo "$KPOST_TAG $KPOST_BADGE" ;;
		*) printf "[%s]" "$line" ;;
		esac' 2>"$work/serve" &
	server=$!
	kpost wait -t 10 "$mailbox-s"
	is 'call and serve' 0 '[hi]\n' kpost call "$mailbox-s" hi
	is 'call from stdin' 0 '[in]' sh_in 'echo in | kpost call --raw $MAILBOX-s -'
	is 'call --json' 0 "{\"sequence\":3,\"tag\":0,\"badge\":0,\"size\":4,\"pid\":$server,$ids,\"reply\":\"[hi]\"}\n" \
		sh_in 'kpost call --json $MAILBOX-s hi | sed "s/\"time\":[1-9][0-9]*,//"'
	is 'the command knows the tag and the badge' 0 '18446744073709551614 0\n\n' \
		kpost call --tag 0xfffffffffffffffe "$mailbox-s" header
	is '... and of a message, not of the one before' 0 '0 0\n\n' kpost call "$mailbox-s" header
	is 'recv --json tells of a call when its caller gives up, and of no message' 0 \
		'"call":true,"call_deadline":0,\n10\n"call":false,"sync":\n' sh_in \
		'told() { kpost recv -t 5 --json $MAILBOX; }
		 kpost call $MAILBOX a 2>/dev/null & told | grep -o "\"call\":true,\"call_deadline\":0,"
		 kpost call -t 10 $MAILBOX b 2>/dev/null &
		 told | sed "s/.*\"time\":\([0-9]*\),.*\"call_deadline\":\([0-9]*\),.*/\1 \2/" | {
			read -r time deadline
			echo $(((deadline - time + 500000000) / 1000000000))
		 }
		 wait; kpost send $MAILBOX <<<c; told | grep -o "\"call\":false,\"sync\":"'
	is 'the command knows who calls' 0 "$(id -u) $(id -g)\n\n" kpost call "$mailbox-s" who
	says 'a reply to a full disk' 1 'No space left.*reply is lost' sh_in \
		'kpost call $MAILBOX-s hi >/dev/full'
	# As a set-uid program is that somebody else has started.
	is '... but not where the ids are mixed' 0 'none none\n\n' \
		setpriv --ruid 65534 --rgid 65534 --clear-groups kpost call "$mailbox-s" who
	is 'recv --json tells whose ids are mixed' 0 "$mixed\n$ids\n" sh_in \
		'setpriv --ruid 65534 --rgid 65534 --clear-groups kpost send $MAILBOX <<<a
		 kpost send $MAILBOX <<<b
		 kpost recv -n 2 -t 5 --json $MAILBOX | grep -o "\"uid.*mixed_ids\":[a-z]*"'
	says 'a command that fails gives the call up' 7 'gave the call up' \
		kpost call "$mailbox-s" fail
	is 'and the server says so' 0 "1\n" grep -c 'ended with status 3' "$work/serve"
	says 'a reply that is too long gives the call up' 7 'gave the call up' \
		kpost call "$mailbox-s" long
	is 'and the server says so, too' 0 "1\n" grep -c 'longer than' "$work/serve"
	says 'call --timeout of what was received' 4 'timed out; the request was received' \
		kpost call -t 0.1 "$mailbox-s" slow
	says 'call --timeout of what was not' 4 'timed out; nobody had.*safe to call again' \
		kpost call -t 0.1 "$mailbox" hi
	is 'jobs run side by side' 0 '[b]\ndone\n\n' sh_in \
		'kpost call $MAILBOX-s slow >$WORK/slow & kpost call $MAILBOX-s b; wait; cat $WORK/slow'
	kill -TERM $server
	wait $server
	is 'serve ends cleanly' 0 '' test $? -eq 0
	says 'and its mailbox goes with it' 3 'no such mailbox' kpost call "$mailbox-s" hi
}

grants()
{
	local header='"priority":[0-9]*,"tag":[0-9]*,"badge":[0-9]*'
	as_nobody='setpriv --reuid 65534 --regid 65534 --clear-groups'
	export as_nobody

	kpost create --mode 622 "$mailbox-g"
	is 'each write of a granted command is a message' 0 \
		'"payload":"a"\n"payload":"\\n"\n"payload":"b"\n' sh_in \
		'kpost grant $MAILBOX-g -- sh -c "printf a; echo; printf b"
		 kpost recv -n 3 -t 0 --json $MAILBOX-g | grep -o "\"payload\":\"[^\"]*\""'
	is '... with badge, tag and priority' 0 \
		'"priority":3,"tag":255,"badge":18446744073709551615\n' sh_in \
		'kpost grant --badge 18446744073709551615 --tag 0xff -p 3 $MAILBOX-g -- echo x
		 kpost recv -t 0 --json $MAILBOX-g | grep -o '"'$header'"
	is '... and none of them if none is given' 0 '"priority":0,"tag":0,"badge":0\n' sh_in \
		'kpost grant $MAILBOX-g -- echo x
		 kpost recv -t 0 --json $MAILBOX-g | grep -o '"'$header'"
	is 'the command is what kpost becomes, with the same process and its own options' 0 'same\n' sh_in \
		'kpost grant $MAILBOX-g -- sh -c "echo \$\$ --tag" & pid=$!; wait $pid
		 [ "$(kpost recv -t 0 $MAILBOX-g)" = "$pid --tag" ] && echo same'
	is '... with its status' 9 '' kpost grant "$mailbox-g" -- sh -c 'exit 9'
	is '... and only its output, to send' 0 'send 6\n' sh_in \
		'kpost grant --badge 6 $MAILBOX-g -- sh -c "cat /proc/self/fdinfo/*" >/dev/null
		 kpost recv -n 0 -t 0 $MAILBOX-g >$WORK/fdinfo 2>/dev/null
		 [ "$(grep -c kpost-name $WORK/fdinfo)" -eq 1 ] || exit 99
		 echo $(sed -n "s/^kpost-\(rights\|badge\):\t//p" $WORK/fdinfo)'
	is 'the badge stays when the command drops its user' 0 '"badge":5\n"mixed_ids":true\n' sh_in \
		'kpost grant --badge 5 $MAILBOX-g -- $as_nobody echo x
		 kpost recv -t 0 --json $MAILBOX-g | grep -oE "\"(badge|mixed_ids)\":[a-z0-9]*"'
	is '... and whoever opens the mailbox has none' 0 '"badge":0\n' sh_in \
		'$as_nobody kpost send $MAILBOX-g <<<x
		 kpost recv -t 0 --json $MAILBOX-g | grep -o "\"badge\":[0-9]*"'
	is 'serve tells the badge' 0 '7 4\n' sh_in \
		'kpost serve $MAILBOX-v -- sh -c "echo \$KPOST_BADGE \$KPOST_TAG >$WORK/badge" & server=$!
		 kpost wait -t 10 $MAILBOX-v; kpost grant --badge 7 --tag 4 $MAILBOX-v -- echo x
		 soon test -s $WORK/badge; kill $server; wait $server; cat $WORK/badge'
	is '--input' 0 'x\nrecv 3\n' sh_in \
		'printf "x\n" | kpost send --whole $MAILBOX-g
		 kpost grant --input --badge 3 $MAILBOX-g -- sh -c "head -n 1
			echo \$(sed -n \"s/^kpost-\(rights\|badge\):\\\t//p\" /proc/self/fdinfo/0)" </dev/null'
	says '... of less than a message' 1 'Message too long' sh_in \
		'printf abcd | kpost send --whole $MAILBOX-g
		 kpost grant --input $MAILBOX-g -- dd bs=2 count=1 status=none'
	is '... which stays' 0 'abcd\n' kpost recv -t 0 "$mailbox-g"
	says '--badge of who is not the owner' 5 'only its owner.*kpost stat' sh_in \
		'$as_nobody kpost grant --badge 1 $MAILBOX-g -- echo x'
	is '... who may do without' 0 'x\n\n' sh_in \
		'$as_nobody kpost grant $MAILBOX-g -- echo x; kpost recv -t 0 $MAILBOX-g'
	says '--input of who may not receive' 5 'permission denied' sh_in \
		'$as_nobody kpost grant --input $MAILBOX-g -- cat'
	says 'grant on no mailbox' 3 'make it with' kpost grant "$mailbox-none" -- touch "$work/ran"
	says 'grant with a name that is none' 2 "no '/'" kpost grant $'a\tb' -- touch "$work/ran"
	is '... runs nothing' 1 '' test -e "$work/ran"
	says 'a command that is not found' 127 "cannot run 'no-such-command': No such file" \
		kpost grant "$mailbox-g" -- no-such-command
	says '... or cannot be run' 126 "cannot run '/tmp': Permission denied" \
		kpost grant "$mailbox-g" -- /tmp
	is '... sends nothing' 4 '' kpost recv -t 0 "$mailbox-g"
	says 'grant without a command' 2 'which command' kpost grant "$mailbox-g" --
	says 'grant without a mailbox' 2 'which mailbox' kpost grant --badge 1
	says '--tag of an input' 2 'of what is sent' kpost grant --input --tag 1 "$mailbox-g" -- cat
	for number in '' -1 +1 ' 1' 1K 0x 0x1g 18446744073709551616 0x10000000000000000; do
		says "--badge '$number'" 2 '--badge wants a number' \
			kpost grant --badge "$number" "$mailbox-g" -- touch "$work/ran"
		says "--tag '$number'" 2 '--tag wants a number' kpost send --tag "$number" "$mailbox-g"
	done
	says 'call --tag of no number' 2 '--tag wants a number' kpost call --tag x "$mailbox-g"
	says 'grant --priority too high' 2 'at most 32767' \
		kpost grant -p 32768 "$mailbox-g" -- touch "$work/ran"
	is 'what is wrong runs nothing, and sends nothing' 0 '0\n' sh_in \
		'[ -e $WORK/ran ] || kpost stat --json $MAILBOX-g | sed "s/.*\"queued_messages\":\([0-9]*\).*/\1/"'
	is 'a write to a mailbox that has closed fails, without a signal' 0 'Broken pipe\n' sh_in \
		'kpost create $MAILBOX-c
		 kpost grant $MAILBOX-c -- sh -c "kpost rm $MAILBOX-c >&2; exec printf x" 2>&1 |
			grep -o "Broken pipe"'
	kpost rm "$mailbox-g"
}

# In an office of its own, with limits of its own: limit NAME BYTES, as_user COMMAND...
sh_limited()
{
	WORK=$work unshare --net bash -c '
		limit() { echo "$2" >"/proc/sys/net/kpost/$1"; }
		as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
		'"$1"
}

# A mailbox without sizes counts for 197632 bytes, one of 16 messages and 4K for 9216.
limits()
{
	is 'a mailbox counts for who makes it' 0 '"counted":197632,"maker":65534\n' sh_limited \
		'as_user kpost create a; kpost stat --json a | grep -o "\"counted\":[0-9]*,\"maker\":[^,]*"'
	is '... which is told' 0 'counts    193 KiB, for user 65534, who made it\n' sh_limited \
		'as_user kpost create a; kpost stat a | grep ^counts'
	is '... and of what root makes, for no user' 0 '"counted":9216,"maker":null\n' sh_limited \
		'kpost create --messages 16 --bytes 4K a
		 kpost ls --json | grep -o "\"counted\":[0-9]*,\"maker\":[^,]*"'
	is 'info --json tells what is used' 0 \
		'"user_used":197632,"user_sending_used":0,"office_used":206848,"office_sending_used":0\n' \
		sh_limited 'as_user kpost create a; kpost create --messages 16 --bytes 4K b
			as_user kpost info --json | grep -o "\"user_used.*_sending_used\":[0-9]*"'
	is '... and the limits' 0 '"user_bytes":300000,"user_sending_bytes":1000,\n' sh_limited \
		'limit user_bytes 300000; limit user_sending_bytes 1000
		 kpost info --json | grep -o "\"user_bytes\":[0-9]*,\"user_sending_bytes\":[0-9]*,"'
	is 'info tells both' 0 'this user has     193 KiB of 1 MiB in mailboxes, 0 B of 2 MiB under way\n' \
		sh_limited 'limit user_bytes 1048576; limit user_sending_bytes 2097152
			as_user kpost create a; as_user kpost info | grep "^this user"'
	says 'create past what the user may have' 1 'this user has left.*net.kpost.user_bytes' \
		sh_limited 'limit user_bytes 300000; as_user kpost create a && as_user kpost create b'
	is '... and a small one that fits' 0 '' sh_limited \
		'limit user_bytes 300000; as_user kpost create a
		 as_user kpost create --messages 16 --bytes 4K b'
	is '... and what the user may not, root may' 0 '' sh_limited \
		'limit user_bytes 300000; as_user kpost create a; kpost create b'
	says 'create past what all may have' 1 'all users together have left.*net.kpost.office_bytes' \
		sh_limited 'limit office_bytes 300000; kpost create a && kpost create b'
	says 'send --create past what the user may have' 1 'cannot make.*net.kpost.user_bytes' \
		sh_limited 'limit user_bytes 1000; as_user kpost send --create a <<<x'
	says 'set past what the user may have' 1 'cannot change.*net.kpost.user_bytes' sh_limited \
		'limit user_bytes 300000; as_user kpost create a; as_user kpost set --bytes 1M a'
	says 'set past what all may have' 1 'cannot change.*net.kpost.office_bytes' sh_limited \
		'limit office_bytes 300000; kpost create a; kpost set --bytes 1M a'
	says 'set of more, by who has not made it' 5 'counts for no user, and only root' sh_limited \
		'kpost create a; kpost set --owner 65534 a; as_user kpost set --messages 257 a'
	is '... and of less' 0 '' sh_limited \
		'kpost create a; kpost set --owner 65534 a; as_user kpost set --messages 255 a'
	says '... of what counts for another' 5 'counts for user 65534, and only that one' sh_limited \
		'as_user kpost create a; kpost set --owner 65533 a
		 setpriv --reuid 65533 --regid 65533 --clear-groups kpost set --messages 257 a'
	says 'set --owner by who is not root' 5 'only root can give it' sh_limited \
		'as_user kpost create a; as_user kpost set --owner 0 a'
	says 'a send that would wait past what the user may have under way' 1 \
		'net.kpost.user_sending_bytes' sh_limited \
		'limit user_sending_bytes 1000; as_user kpost create --messages 1 a
		 as_user kpost send a <<<x; head -c 1000 /dev/zero | as_user kpost send --whole -t 9 a'
	is '... and one that finds room' 0 '' sh_limited \
		'limit user_sending_bytes 0; as_user kpost create a
		 head -c 32768 /dev/zero | as_user kpost send --whole a'
	says '... past what all may have' 1 'net.kpost.office_sending_bytes' sh_limited \
		'limit office_sending_bytes 1000; kpost create --messages 1 a
		 kpost send a <<<x; head -c 1000 /dev/zero | kpost send --whole -t 9 a'
	says 'a call, whose reply has its room' 1 'net.kpost.user_sending_bytes' sh_limited \
		'limit user_sending_bytes 1000; as_user kpost create a; as_user kpost call -t 9 a x'
	says 'a grant' 1 'net.kpost.user_sending_bytes' sh_limited \
		'limit user_sending_bytes 1000; as_user kpost create a; as_user kpost grant a -- true'
}

# What becomes of calls and receivers whose other side goes.
ends()
{
	kpost serve "$mailbox-e" -- sh -c 'echo $$ >"$0/begun"; exec sleep 60' "$work" \
		2>/dev/null &
	server=$!
	kpost wait -t 10 "$mailbox-e"
	kpost call "$mailbox-e" 1 2>"$work/first" &
	first=$!
	soon test -s "$work/begun"
	kpost call "$mailbox-e" 2 2>"$work/second" &
	second=$!
	soon stat_has "$mailbox-e" '"queued_messages":1,' --json
	kill -KILL $server "$(cat "$work/begun")"
	wait $server $first 2>/dev/null
	is 'the server dies with the request' 0 "7\n1\n" eval \
		"echo $?; grep -c 'had the request' $work/first"
	wait $second
	is '... and without it' 0 "7\n1\n" eval \
		"echo $?; grep -c 'closed; nobody had.*safe to call again' $work/second"
	says 'a mailbox that is removed ends recv' 7 'come to its end' sh_in \
		'kpost create $MAILBOX-r; timeout 20 kpost recv --follow $MAILBOX-r & pid=$!
		 soon stat_has $MAILBOX-r "receivers 1"
		 kpost rm $MAILBOX-r; wait $pid'
	says '... and serve, once it has answered' 7 'come to its end' sh_in \
		'timeout 20 kpost serve $MAILBOX-r -- sleep 0.3 & pid=$!
		 kpost wait -t 10 $MAILBOX-r; kpost send $MAILBOX-r <<<x
		 kpost rm $MAILBOX-r; wait $pid'
	says 'a mailbox that is shut ends recv, when it is empty' 7 'come to its end' sh_in \
		'kpost create $MAILBOX-s; seq 3 | kpost send $MAILBOX-s; kpost recv $MAILBOX-s
		 timeout 20 kpost recv --follow $MAILBOX-s & pid=$!
		 soon stat_has $MAILBOX-s "receivers 1"
		 kpost shut $MAILBOX-s; wait $pid'
	is 'send --drop=old keeps the newest' 0 '4\n5\n' sh_in \
		'kpost create --messages 2 --overflow old $MAILBOX-o; seq 5 | kpost send --drop=old $MAILBOX-o
		 kpost recv -n 2 $MAILBOX-o'
	is '... and the receiver is told' 0 '1\n"missed":2\n' sh_in \
		'seq 4 | kpost send --drop=old $MAILBOX-o; kpost stat --json $MAILBOX-o | grep -c "\"dropped_old\":5,"
		 kpost recv --json $MAILBOX-o | grep -o "\"missed\":[0-9]*"'
	is 'send --expires drops what nobody received' 0 '"queued_messages":0\n' sh_in \
		'kpost create $MAILBOX-old; echo x | kpost send --expires=0.1 $MAILBOX-old
		 soon stat_has $MAILBOX-old "\"expired\":1," --json
		 kpost stat --json $MAILBOX-old | grep -o "\"queued_messages\":[0-9]*"'
	is 'send --expires by another clock' 0 '2\n' sh_in \
		'kpost create $MAILBOX-clock
		 for c in boottime realtime; do echo x | kpost send --clock=$c --expires=0.1 $MAILBOX-clock; done
		 soon stat_has $MAILBOX-clock "\"expired\":2," --json
		 kpost stat --json $MAILBOX-clock | grep -o "\"expired\":[0-9]*" | cut -d: -f2'
	says 'send --number without a mark' 1 "'kpost grant --mark'" sh_in \
		'echo x | kpost send --number=1 $MAILBOX-clock'
	is 'send --number leaves out what was sent before' 0 'a\nb\nc\n"mark":3\n' sh_in \
		'kpost grant --mark $MAILBOX-clock -- true; printf "a\nb\n" | kpost send --number=1 $MAILBOX-clock
		 printf "a\nb\nc\n" | kpost send --number=1 $MAILBOX-clock 2>$WORK/repeated
		 grep -q "2 of 3 messages were sent before" $WORK/repeated && kpost recv --count=3 $MAILBOX-clock
		 kpost stat --json $MAILBOX-clock | grep -o "\"mark\":[0-9]*"; kpost rm $MAILBOX-clock'
	says 'send --clock of none' 2 "takes 'monotonic'" sh_in \
		'echo x | kpost send --clock=sundial $MAILBOX-o'
	is 'recv --tag takes that tag, and leaves the others' 0 'b\na\nc\n' sh_in \
		'kpost create --keyed --overflow replace $MAILBOX-key; echo a | kpost send --tag 1 $MAILBOX-key
		 echo b | kpost send --tag 2 $MAILBOX-key; echo c | kpost send --tag 1 $MAILBOX-key
		 kpost recv --tag 2 $MAILBOX-key; kpost recv --peek --tag 1 $MAILBOX-key
		 kpost recv --tag 1 $MAILBOX-key >$WORK/first-worker-key; kpost recv --tag 1 $MAILBOX-key'
	is '... waits for it' 0 'later\n' sh_in \
		'echo else | kpost send --tag 7 $MAILBOX-key; kpost recv --tag 5 -t 60 $MAILBOX-key & pid=$!
		 soon stat_has $MAILBOX-key "of which 1 tasks wait for a message"
		 echo later | kpost send --tag 5 $MAILBOX-key; wait $pid && kpost recv $MAILBOX-key >$WORK/else'
	is '... ends with a signal' 143 '' sh_in \
		'kpost recv --tag 5 $MAILBOX-key & pid=$!
		 soon stat_has $MAILBOX-key "of which 1 tasks wait for a message"; kill $pid; wait $pid'
	says '... gives up' 4 'timed out' kpost recv --tag 5 -t 0.2 "$mailbox-key"
	says '... wants a mailbox that is keyed' 2 'create --keyed' kpost recv --tag 5 "$mailbox-o"
	is 'send --replace keeps the place' 0 'new\nb\n"replaced":1,"keyed":true\n' sh_in \
		'echo a | kpost send --tag 1 $MAILBOX-key; echo b | kpost send --tag 2 $MAILBOX-key
		 echo new | kpost send --replace --tag 1 $MAILBOX-key; kpost recv -n 2 $MAILBOX-key
		 kpost stat --json $MAILBOX-key | grep -o "\"replaced\":1,\"keyed\":true"'
	says '... where that may not be' 5 'kpost set --overflow' sh_in \
		'kpost set --overflow none $MAILBOX-key; echo x | kpost send --replace $MAILBOX-key'
	says '... where the mailbox is not keyed' 2 'create --keyed' sh_in \
		'echo x | kpost send --replace $MAILBOX-o'
	says 'set --overflow replace likewise' 2 'create --keyed' \
		kpost set --overflow old,replace "$mailbox-o"
	says 'send --expires without a time' 2 'expires wants seconds' sh_in \
		'echo x | kpost send --expires=soon $MAILBOX-o'
	says 'send --drop=new where that may not be' 5 'kpost set --overflow' sh_in \
		'echo x | kpost send --drop=new $MAILBOX-o'
	says 'set --overflow any' 2 "said by 'kpost create'" kpost set --overflow any "$mailbox-o"
	says 'send --present where nobody receives' 7 'nobody can receive' sh_in \
		'kpost create $MAILBOX-p; echo x | kpost send --present $MAILBOX-p'
	says 'call --present likewise' 7 'nobody can receive' kpost call --present "$mailbox-p" x
	says 'shut has one that nobody receives from go' 3 'no such mailbox' sh_in \
		'kpost create $MAILBOX-s; echo lost | kpost send $MAILBOX-s
		 kpost shut $MAILBOX-s && kpost stat $MAILBOX-s'
	says 'a server that is succeeded answers what it has, and ends' 7 'come to its end' sh_in \
		'timeout 90 kpost serve $MAILBOX-s -- sh -c "until test -e $WORK/go; do sleep 0.05; done
		 echo old" & pid=$!
		 kpost wait -t 10 $MAILBOX-s; kpost call $MAILBOX-s x | grep -qx old & call=$!
		 soon stat_has $MAILBOX-s "calls     1"
		 timeout 90 kpost serve --succeed $MAILBOX-s -- echo new & new=$!
		 soon stat_has $MAILBOX-s "calls     0"; : >$WORK/go
		 test "$(kpost call $MAILBOX-s x)" = new && wait $call && wait $pid; status=$?
		 kill $new; wait $new; exit $status'
}

# Jobs that are held: none is lost with who works on it.
work()
{
	kpost create "$mailbox-j"
	kpost create "$mailbox-d"
	is 'work runs a command for each message, and ends with the mailbox' 7 '1 0\n2 0\n3 0\n' sh_in \
		'kpost create $MAILBOX-k; seq 3 | kpost send $MAILBOX-k
		 timeout 60 kpost work $MAILBOX-k -- sh -c "echo \$(cat) \$KPOST_ATTEMPTS" 2>/dev/null & pid=$!
		 soon stat_has $MAILBOX-k "3 received"; kpost shut $MAILBOX-k; wait $pid'
	is 'work takes SIGTERM when the commands have ended' 0 'x\n"queued_messages":1,\n' sh_in \
		'printf "x\ny\n" | kpost send $MAILBOX-j
		 kpost work $MAILBOX-j -- sh -c "cat; echo; : >$WORK/on; sleep 0.5" & pid=$!
		 soon test -e $WORK/on; kill $pid; wait $pid || exit
		 kpost stat --json $MAILBOX-j | grep -o "\"queued_messages\":1,"; kpost recv $MAILBOX-j >&2'
	is 'a command that fails is tried again' 0 '0\n1\n2\n' sh_in \
		'echo x | kpost send $MAILBOX-j
		 kpost work --pause 0.02 $MAILBOX-j -- sh -c "
			echo \$KPOST_ATTEMPTS; [ \$KPOST_ATTEMPTS = 2 ]" 2>$WORK/said & pid=$!
		 soon stat_has $MAILBOX-j "queued    0"; kill $pid; wait $pid
		 [ "$(grep -c "attempt [12] of 5: .sh. ended with status 1" $WORK/said)" = 2 ]'
	is '... and meanwhile the others' 0 'bad\ngood\n"held":1,\n' sh_in \
		'printf "bad\ngood\n" | kpost send $MAILBOX-j
		 kpost work --pause 90 $MAILBOX-j -- sh -c "read -r line; echo \$line; [ \$line = good ]" \
			2>/dev/null & pid=$!
		 soon stat_has $MAILBOX-j "queued    1"; kill $pid; wait $pid
		 kpost stat --json $MAILBOX-j | grep -o "\"held\":1,"
		 kpost rm $MAILBOX-j; kpost create $MAILBOX-j'
	is 'what fails for good goes aside' 0 '"priority":4,"tag":7\n"payload":"x"\n1\n' sh_in \
		'echo x | kpost send -p 4 --tag 7 $MAILBOX-j
		 kpost work --attempts 2 --pause 0.02 --aside $MAILBOX-d $MAILBOX-j -- false 2>$WORK/said &
		 kpost recv -t 30 --json $MAILBOX-d >$WORK/aside
		 soon stat_has $MAILBOX-j "queued    0"; kill $!; wait $!
		 grep -o "\"priority\":4,\"tag\":7" $WORK/aside; grep -o "\"payload\":\"x\"" $WORK/aside
		 grep -c "put message [0-9]* aside: it was tried 2 times" $WORK/said'
	is '... but stays where there is no room for it' 0 '"queued_messages":1,\n1\n' sh_in \
		'kpost create --messages 1 $MAILBOX-f; echo old | kpost send $MAILBOX-f
		 echo x | kpost send $MAILBOX-j
		 kpost work --attempts 1 --pause 0.02 --aside $MAILBOX-f $MAILBOX-j -- false 2>$WORK/said & pid=$!
		 soon grep -q "keeping message" $WORK/said
		 kpost stat --json $MAILBOX-j | grep -o "\"queued_messages\":1,"; kpost recv $MAILBOX-f >&2
		 soon stat_has $MAILBOX-j "queued    0"; kill $pid; wait $pid
		 kpost recv -t 0 $MAILBOX-f | grep -cx x; kpost rm $MAILBOX-f'
	is '... or is dropped' 0 '1\n' sh_in \
		'echo x | kpost send $MAILBOX-j
		 kpost work --attempts 1 $MAILBOX-j -- false 2>$WORK/said & pid=$!
		 soon stat_has $MAILBOX-j "queued    0"; kill $pid; wait $pid
		 grep -c "dropping message [0-9]*: it was tried 1 times" $WORK/said'
	is 'work gives a call up' 0 '7\n1\n' sh_in \
		'kpost work $MAILBOX-j -- cat 2>$WORK/said & pid=$!
		 kpost call -t 30 $MAILBOX-j x 2>/dev/null; echo $?; kill $pid; wait $pid
		 grep -c "those are for .kpost serve." $WORK/said'
	says 'work whose command is not there' 127 "cannot run 'no-such-command': No such file" sh_in \
		'echo kept | kpost send $MAILBOX-j; kpost work --pause 0 $MAILBOX-j -- no-such-command'
	is '... takes nothing' 0 'kept\n' kpost recv -t 10 "$mailbox-j"
	says 'work --aside without such a mailbox' 3 'no such mailbox' \
		kpost work --aside "$mailbox-none" "$mailbox-j" -- true
	says '... or with the same' 2 'another mailbox' \
		kpost work --aside "$mailbox-j" "$mailbox-j" -- true
	says 'work without a mailbox' 3 'no such mailbox' kpost work "$mailbox-none" -- true
	says 'work that may hold less than it has jobs' 0 'kpost set --held-max' sh_in \
		'kpost create --messages 4 --held-max 1 $MAILBOX-h; seq 4 | kpost send $MAILBOX-h
		 kpost work --jobs 2 $MAILBOX-h -- sleep 0.1 & pid=$!
		 soon stat_has $MAILBOX-h "4 received"; kill $pid; wait $pid; s=$?; kpost rm $MAILBOX-h; exit $s'
	is 'a worker that is killed loses no job' 0 'x 1\ngone\n' sh_in \
		'echo x | kpost send $MAILBOX-j
		 kpost work $MAILBOX-j -- sh -c "echo \$\$ >$WORK/first-worker; exec sleep 90" 2>/dev/null & pid=$!
		 soon test -s $WORK/first-worker; kill -KILL $pid; wait $pid 2>/dev/null
		 kpost work $MAILBOX-j -- sh -c "echo \$(cat) \$KPOST_ATTEMPTS" & pid=$!
		 soon stat_has $MAILBOX-j "queued    0"; kill $pid; wait $pid
		 gone() { ! kill -0 "$(cat $WORK/first-worker)" 2>/dev/null; }
		 soon gone && echo gone'
	is '... nor does a command that is' 0 '1\nx 1\n' sh_in \
		'echo x | kpost send $MAILBOX-j
		 kpost work --pause 0.02 $MAILBOX-j -- sh -c "
			[ \$KPOST_ATTEMPTS = 0 ] && kill -KILL \$\$; echo \$(cat) \$KPOST_ATTEMPTS" \
			>$WORK/out 2>$WORK/said & pid=$!
		 soon stat_has $MAILBOX-j "queued    0"; kill $pid; wait $pid
		 grep -c "attempt 1 of 5: .sh. was ended by signal 9" $WORK/said; cat $WORK/out'
	is 'a job that kills its workers goes aside, and the others are done' 0 '1\n2\n4\n5\n6\n3\n' sh_in \
		'seq 6 | kpost send $MAILBOX-j
		 job="read -r n || :; [ \$n = 3 ] && { kill -KILL \$PPID; exec sleep 90; }; echo \$n >>$WORK/done"
		 workers() {
			until kpost work --attempts 3 --aside $MAILBOX-d $MAILBOX-j -- sh -c "$job"; do
				[ $? -eq 137 ] || exit
			done
		 }
		 { workers & workers & wait; } >/dev/null 2>&1 & pid=$!
		 kpost recv -t 60 $MAILBOX-d >$WORK/aside
		 soon stat_has $MAILBOX-j "queued    0"; kpost shut $MAILBOX-j; wait $pid
		 sort $WORK/done; cat $WORK/aside'
	kpost rm "$mailbox-j" "$mailbox-d" 2>/dev/null
	is 'a call --retry is answered by another server when the first is killed' 0 'second 1\n\n' sh_in \
		'kpost serve $MAILBOX-v -- sh -c "echo \$\$ >$WORK/served; exec sleep 90" 2>/dev/null & one=$!
		 kpost wait -t 10 $MAILBOX-v; kpost call -t 60 --retry $MAILBOX-v x & call=$!
		 soon test -s $WORK/served
		 kpost serve $MAILBOX-v -- sh -c "echo second \$KPOST_ATTEMPTS" & two=$!
		 soon stat_has $MAILBOX-v "receivers 2"; kill -KILL $one; wait $one 2>/dev/null
		 wait $call; s=$?; kill $two; wait $two; exit $s'
	is '... and given up when it has killed two' 0 '7\n1\n' sh_in \
		'kpost create $MAILBOX-v
		 serve() { kpost serve --attempts 2 $MAILBOX-v -- sh -c "kill -KILL \$PPID"; }
		 { serve; serve; serve; } >/dev/null 2>$WORK/said & pid=$!
		 kpost call -t 60 --retry $MAILBOX-v x 2>/dev/null; echo $?
		 grep -c "giving message 1 up: it has come back 2 times" $WORK/said; kpost rm $MAILBOX-v; wait $pid || :'
	is 'a message to serve is received before its command runs' 0 '"held":0,"held_max":128,\n' sh_in \
		'kpost serve $MAILBOX-v -- sleep 1 & pid=$!
		 kpost wait -t 10 $MAILBOX-v; kpost send --sync $MAILBOX-v <<<x
		 kpost stat --json $MAILBOX-v | grep -o "\"held\":0,\"held_max\":128,"; kill $pid; wait $pid'
	is 'create and set --held-max' 0 '"held":0,"held_max":3,\nheld      0 messages; one receiver may hold 4\n' \
		sh_in 'kpost create --messages 4 --held-max 3 $MAILBOX-h
		 kpost stat --json $MAILBOX-h | grep -o "\"held\":0,\"held_max\":3,"
		 kpost set --held-max 4 $MAILBOX-h; kpost stat $MAILBOX-h | grep ^held'
	is '... of more than it takes is of as many' 0 'held      0 messages; one receiver may hold 2\n' \
		sh_in 'kpost set --messages 2 --held-max 3 $MAILBOX-h; kpost stat $MAILBOX-h | grep ^held'
	says 'create --held-max 0' 2 'at least 1' kpost create --held-max 0 "$mailbox-none"
	kpost rm "$mailbox-h"
	is 'info --json tells that messages can be held' 0 '"hold":true\n' sh_in \
		'kpost info --json | grep -o "\"hold\":true"'
	is 'recv --json tells how often it was tried' 0 '"attempts":0\n' sh_in \
		'kpost send $MAILBOX <<<x; kpost recv --json $MAILBOX | grep -o "\"attempts\":[0-9]*"'
}

# Whose a mailbox has to be; here root's and nobody's.
owners()
{
	is '--owner by name and by number' 0 'x\nx\n' sh_in \
		'kpost create --mode 666 $MAILBOX-owned; kpost send --owner root $MAILBOX-owned <<<x
		 kpost send --owner 0 $MAILBOX-owned <<<x; kpost recv --owner 0 -n 2 -t 0 $MAILBOX-owned'
	is '... by all that open one' 0 'x\n\nyX\n' sh_in \
		'kpost grant --owner root $MAILBOX-owned -- echo x; kpost recv -t 0 $MAILBOX-owned
		 kpost send $MAILBOX-owned <<<y; kpost work --owner root $MAILBOX-owned -- cat >$WORK/worked & pid=$!
		 soon test -s $WORK/worked; kill $pid; wait $pid; cat $WORK/worked
		 kpost serve --owner root $MAILBOX-served -- tr a-z A-Z & pid=$!
		 kpost wait -t 10 $MAILBOX-served; kpost call -t 60 --owner root $MAILBOX-served x; kill $pid; wait $pid'
	kpost rm "$mailbox-owned"
	sh_in 'setpriv --reuid 65534 --regid 65534 --clear-groups kpost create --mode 666 $MAILBOX-owned'
	for verb in send recv call 'serve --succeed' serve work grant; do
		command=
		case $verb in serve* | work | grant) command='-- true' ;; esac
		says "$verb --owner of a squatter's mailbox" 5 "user 65534's, and --owner demands root's.*kpost rm $mailbox-owned" \
			sh_in "kpost $verb --owner root \$MAILBOX-owned $command </dev/null"
	done
	is '... sends nothing, and shuts nothing' 0 '"sent":0\n"shut":false\n' sh_in \
		'kpost stat --json $MAILBOX-owned | grep -oE "\"(sent|shut)\":[^,]*" | sort'
	says 'work --aside to one' 5 "mailbox '$mailbox-owned': it is user 65534's" sh_in \
		'kpost work --owner root --aside $MAILBOX-owned $MAILBOX -- true'
	says 'serve --owner of one that would be made' 5 "it would be user 0's, and --owner demands nobody's" \
		kpost serve --owner nobody "$mailbox-none" -- true
	says 'send --create --owner likewise' 5 "it would be user 0's, and --owner demands 12345's" sh_in \
		'kpost send --create --owner 12345 $MAILBOX-none </dev/null'
	says '... makes nothing' 3 'no such mailbox' kpost stat "$mailbox-none"
	says '--owner of nobody' 2 "no user 'no-such-user'" kpost send --owner no-such-user "$mailbox"
	says '--owner of no number' 2 "no user '4294967295'" kpost recv --owner 4294967295 "$mailbox"
	kpost rm "$mailbox-owned"
	says 'a name that is for root to give' 5 'net.kpost.reserved.*have root make it' sh_in \
		'setpriv --reuid 65534 --regid 65534 --clear-groups kpost create sys.$MAILBOX'
	says '... and so for serve --owner' 5 'net.kpost.reserved' sh_in \
		'setpriv --reuid 65534 --regid 65534 --clear-groups kpost serve --owner nobody sys.$MAILBOX -- true'
	is '... which root gives' 0 '' sh_in 'kpost create sys.$MAILBOX; kpost rm sys.$MAILBOX'
	is 'a private office tells only of what one could open' 0 'open\n3\n0\n' sh_in \
		'user="setpriv --reuid 65534 --regid 65534 --clear-groups kpost"
		 kpost create --mode 602 $MAILBOX-told; echo 1 >/proc/sys/net/kpost/private
		 $user ls --names | grep -x $MAILBOX-told >/dev/null && echo open
		 $user ls --names | grep -x $MAILBOX; $user stat $MAILBOX 2>/dev/null; echo $?
		 $user wait -t 10 $MAILBOX; echo $?
		 echo 0 >/proc/sys/net/kpost/private; kpost rm $MAILBOX-told'
	is 'info --json tells that there are owners' 0 '"owner":true\n' sh_in \
		'kpost info --json | grep -o "\"owner\":true"'
}

# In an office of its own, mounted at $DIR: sh_mounted COMMANDS
sh_mounted()
{
	DIR=$work/dir WORK=$work unshare --net --mount bash -c '
		as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
		chmod 755 "$WORK"; kpost mount "$DIR" || exit
		'"$1"
}

# Mailboxes as files.
paths()
{
	is 'mount makes its directory, and is content with what is there' 0 '755 777\n' sh_mounted \
		'kpost mount "$DIR" && [ "$(grep -c " $DIR " /proc/self/mounts)" = 1 ] || exit
		 mode=$(stat -c %a "$DIR"); umount "$DIR"; echo $(stat -c %a "$DIR") $mode'
	is '... but mounts over the mailboxes of another office' 0 'theirs\n\n' sh_mounted \
		'kpost create theirs; ls "$DIR"
		 unshare --net --mount sh -c "kpost mount \"$DIR\"; echo $(ls "$DIR" | grep -v theirs)"'
	says 'mount where there is nothing to mount at' 1 'make the one' kpost mount "$work/no/dir"
	says 'mount at a file' 1 'Not a directory' kpost mount "$0"
	says 'mount by who is not root' 5 'only root of the network namespace' sh_mounted \
		'mkdir -m 755 "$WORK/theirs"; as_user kpost mount "$WORK/theirs"; s=$?
		 rmdir "$WORK/theirs"; exit $s'
	is 'ls tells where, if anything is there' 0 "as files in $work/dir\n" sh_mounted \
		'kpost ls | grep "^as files"; kpost create a; kpost ls | grep "^as files"'
	is '... of this office, and not of another' 0 '2\n' sh_mounted \
		'kpost create a; mkdir -p "$WORK/a b"; mount --bind "$DIR" "$WORK/a b"
		 kpost ls | grep -c "^as files"; unshare --net sh -c "kpost create a; kpost ls" | grep "^as files"
		 umount "$WORK/a b"; rmdir "$WORK/a b"'
	is 'send and recv by path, in either network namespace' 0 'one\ntwo\n' sh_mounted \
		'mkfifo "$DIR/jobs"; unshare --net kpost send "$DIR/jobs" <<<one; kpost send jobs <<<two
		 kpost recv jobs; unshare --net kpost recv "$DIR/jobs"'
	is 'no /dev/kpost is needed' 0 'hello\n0600 2\nb\n' sh_mounted \
		'mount --bind /dev/null /dev/kpost; cd "$DIR"
		 kpost create --messages 2 ./a; kpost create ./a; kpost create --mode 622 "$DIR/b"
		 kpost send ./a <<<hello; kpost recv ./a; kpost ls . | awk "/ a\$/ { print \$1, substr(\$3, 3) }"
		 kpost rm ./a; kpost ls --names .'
	is 'call, serve and work by path' 0 'HI\ndone\n' sh_mounted \
		'kpost serve "$DIR/upper" -- tr a-z A-Z & pid=$!
		 soon() { until "$@"; do sleep 0.05; done; }
		 soon test -e "$DIR/upper"; kpost call -t 20 "$DIR/upper" hi; kill $pid; wait $pid
		 mkfifo "$DIR/jobs"; mkfifo "$DIR/aside"; kpost send "$DIR/jobs" <<<done
		 kpost work --attempts 1 --aside "$DIR/aside" "$DIR/jobs" -- false 2>/dev/null & pid=$!
		 kpost recv -t 20 "$DIR/aside"; kill $pid; wait $pid'
	is 'stat by path opens nothing' 0 'name      a\nsenders   0, of which 0 tasks wait for room\n' sh_mounted \
		'kpost create a; kpost stat "$DIR/a" | grep -e ^name -e ^senders'
	says 'what is the owner'\''s to do needs the name' 2 'by the name' sh_mounted \
		'kpost create a; kpost set --messages 3 "$DIR/a"'
	says '... also to shut' 2 'by the name' sh_mounted 'kpost create a; kpost shut "$DIR/a"'
	says '... and to grant with a badge' 2 'by the name' sh_mounted \
		'kpost create a; kpost grant --badge 1 "$DIR/a" -- true'
	says 'wait for a path' 2 'a name, not a path' kpost wait "$work/a"
	says 'no permission by path' 5 'ls -l' sh_mounted 'mkfifo -m 620 "$DIR/a"; as_user kpost send "$DIR/a"'
	says 'rm of another'\''s' 5 'cannot remove' sh_mounted 'mkfifo "$DIR/a"; as_user kpost rm "$DIR/a"'
	says 'no mailbox at the path' 3 'kpost create' sh_mounted 'kpost recv "$DIR/a"'
	says 'the directory' 2 'kpost ls' sh_mounted 'kpost recv "$DIR"'
	says 'a pipe' 3 'no mailbox' sh_mounted 'mkfifo "$WORK/pipe"; kpost recv "$WORK/pipe"'
	says 'create where nothing is mounted' 3 'kpost mount' kpost create "$work/a"
	says 'ls likewise' 3 'kpost mount' kpost ls "$work"
	says 'create on a mount that is read-only' 5 'read-only' sh_mounted \
		'mount -o remount,bind,ro "$DIR"; kpost create "$DIR/a"'
	is 'a bound mailbox' 0 'hello\n2\n2\na\n' sh_mounted \
		'mkfifo "$DIR/a"; : >"$WORK/bound"; mount --bind "$DIR/a" "$WORK/bound"
		 kpost send a <<<hello; kpost recv "$WORK/bound"
		 for verb in stat rm; do kpost $verb "$WORK/bound" 2>"$WORK/said"; echo $?; done
		 grep -q "mounted by itself" "$WORK/said" && ls "$DIR"; umount "$WORK/bound"'
	says 'a bound mailbox that has closed' 7 'has closed' sh_mounted \
		'mkfifo "$DIR/a"; : >"$WORK/bound"; mount --bind "$DIR/a" "$WORK/bound"; kpost rm a
		 kpost send "$WORK/bound"'
}

# kpost, with no other programs but those in the directory $WORK/programs
sh_with()
{
	rm -rf "$work/programs" && mkdir "$work/programs"
	sh_in "cd \$WORK/programs; $1; PATH=\$WORK/programs exec $(command -v kpost) $2"
}

bridge()
{
	says 'bridge, which is not installed' 127 "cannot run 'kpost-bridge'.* not installed" \
		sh_with : 'bridge --help'
	says '... or cannot be run' 126 "cannot run 'kpost-bridge': Permission denied" \
		sh_with ': >kpost-bridge' 'bridge status'
	is '... has its arguments as they are, and its own status' 9 '<--help>\n<a b>\n<>\n' \
		sh_with 'echo "#!$BASH
			printf \"<%s>\n\" \"\$@\"; exit 9" >kpost-bridge; chmod +x kpost-bridge' \
		'bridge --help "a b" ""'
}

complaints()
{
	says 'no such mailbox' 3 "make it with 'kpost create $mailbox-none'" \
		kpost recv "$mailbox-none"
	says 'a path that is none' 3 'no such file' kpost send a/b
	says 'a name that would steer the terminal' 2 'x1b' kpost stat $'a\e[31m'
	for name in . ..; do
		says "the name '$name'" 2 "not '.' or '..'" kpost create "$name"
	done
	says 'rm of a name that is none' 2 'no control characters' kpost rm $'a\tb'
	says 'a name that is empty' 2 'cannot be empty' kpost create ''
	says 'a name that is too long' 2 '255' kpost create "$(printf %0256d 0)"
	says 'no permission' 5 'kpost stat' sh_in \
		'setpriv --reuid 65534 --regid 65534 --clear-groups kpost recv $MAILBOX'
	says 'rm of nothing' 3 'no such mailbox' kpost rm "$mailbox-none"
	says 'a line that is too long' 1 'message 2' sh_in \
		'kpost create --message-max 3 $MAILBOX-3
		 printf "abc\nabcd\n" | kpost send $MAILBOX-3; s=$?
		 kpost rm $MAILBOX-3; exit $s'
	says 'output that cannot be written' 1 'No space left' sh_in \
		'kpost send $MAILBOX <<<x; kpost recv $MAILBOX >/dev/full'
	says 'a verb that is none' 2 "no verb 'x'" kpost x
	says 'an option that is none' 2 'nonsense' kpost recv --nonsense a
	says 'a number that is none' 2 'not' kpost create --bytes x a
	says 'more bytes than any mailbox holds' 2 '1 GiB' kpost create --bytes 2G "$mailbox-x"
	says 'more messages than any mailbox holds' 2 '1048576' \
		kpost create --messages 1048577 "$mailbox-x"
	says 'a longer message than any mailbox takes' 2 '16 MiB' \
		kpost create --message-max 17M "$mailbox-x"
	says 'set --bytes likewise' 2 '1 GiB' kpost set --bytes 1025M "$mailbox"
	says 'set --bytes of less than a message' 2 'at least 32768' kpost set --bytes 1K "$mailbox"
	for option in messages bytes message-max; do
		says "create --$option 0" 2 'at least 1' kpost create --$option 0 "$mailbox-x"
	done
	says 'a directory is no input' 1 "'/tmp'.*directory" kpost send "$mailbox" /tmp
	says 'sizes that do not go together' 2 'go together' \
		kpost create --bytes 10 --message-max 20 "$mailbox-x"
	is 'rm' 0 '' kpost rm "$mailbox"
	says 'and it is gone' 3 'no such mailbox' kpost recv "$mailbox"
}

echo 'TAP version 13'
parts=${*:-basics output_lost looking calls grants limits ends work owners paths bridge complaints}
kpost create "$mailbox"
for part in $parts; do
	"$part"
done
echo "1..$count"
echo "# $((count - failed)) passed, $failed failed"
[ $failed -eq 0 ]
