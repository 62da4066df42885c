#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Tests of the bridge, on three machines in one (see bed.sh); they need the module, and root:
# tools/vm/run --timeout 900 -- bash tools/bridge/tests/check.sh [--full] [--time SECONDS]
#	[--server PATH] [PART]...
# TAP on stdout; the last line is the sum. --server is another nats-server. With --full more is
# sent, and killed more often. The part "stress" goes on for --time seconds, and is not among those
# that are run by default.
set -u

top=$(cd "$(dirname "$0")/../../.." && pwd)
PATH=${BUILD:-$top/build}/bin:/usr/sbin:/sbin:$PATH
# shellcheck source=tools/bridge/tests/bed.sh
. "$top/tools/bridge/tests/bed.sh"
limit=600
many=2000 rounds=1 stand=12
# A machine that does other things meanwhile may take so many times as long.
slack=10
all_there='missing=0 doubled=0 late=0'

# ---- results

# holds NAME PATTERN GOT: one of the lines, which is shown
holds()
{
	local line
	line=$(grep -Em 1 -- "$2" <<<"$3")
	verdict $? "$1"
	if [ -n "$line" ]; then
		say "${line:0:200}"
		return
	fi
	say "expected '$2'"
	tail -n 8 <<<"$3" | sed 's/^/# but it says: /'
	return 1
}

# refuses NAME MACHINE FILE PATTERN: --check finds that wrong, and says so in a line
refuses()
{
	local said status
	said=$(in_machine "$2" timeout 60 kpost-bridge --check "$bed/$3.conf" 2>&1)
	status=$?
	# 78 is for what the file itself has wrong.
	if [ $status -eq 1 ] || [ $status -eq 78 ]; then
		holds "$1" "$4" "$said"
		return
	fi
	verdict 1 "$1"
	say "status $status; expected '$4'"
	tail -n 8 <<<"$said" | sed 's/^/# it says: /'
}

# number_in KEY LINE: of "key=number" in it
number_in()
{
	[[ $2 =~ (^|\ )$1=([0-9]+) ]] && echo "${BASH_REMATCH[2]}" || echo 0
}

# milliseconds COMMAND...: how long until it succeeds
milliseconds()
{
	local begin=${EPOCHREALTIME/[.,]/}
	within 30 "$@"
	echo $(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
}

# status_of MACHINE ROUTE KEY: a number of the bridge's status
status_of()
{
	[[ $(in_machine "$1" kpost-bridge status --json "$2" 2>&1) =~ \"$3\":\ ?([0-9]+) ]] &&
		echo "${BASH_REMATCH[1]}"
}

# ---- messages

# Two machines export, a third one imports; who sends is told by the badge.
messages()
{
	local number=400
	streams orders 'max-bytes = 64M' 'max-messages = 100000'
	verdict $? 'the streams of a file are made by --setup'
	export_route orders | bridge_config m1 m1
	export_route orders | bridge_config m3 m3
	import_route orders | bridge_config m2 m2
	in_machine m1 kpost-bridge --check "$bed/m1.conf" >"$bed/said" 2>&1
	is 'a file that is right is found so by --check' 0 "$?$(cat "$bed/said")"
	start_bridge m2 m2
	start_bridge m1 m1
	start_bridge m3 m3
	flow recv m2 recv orders $((2 * number)) 60 3
	flow send1 m1 send orders $number 64
	flow send3 m3 send orders $number 1000
	finish send1 120
	finish send3 120
	finish recv 120
	is 'messages of two machines come to a third, each once and in order' \
		"received=$((2 * number)) $all_there badges=101:$number,103:$number" "$(last_line recv)" ||
		logs bridge-m1 bridge-m2 bridge-m3
	is 'as many were sent as have come' "sent=$number sent=$number" \
		"$(last_line send1 | cut -d' ' -f1) $(last_line send3 | cut -d' ' -f1)"
	within 10 stream_holds KPOST_ORDERS 0
	is 'nothing is left in the stream' 0 "$(stream_number KPOST_ORDERS messages)"
	is 'nor held in the mailboxes' '0 0' \
		"$(stat_of m1 orders queued_messages) $(stat_of m2 orders queued_messages)"
	is 'an office that no route is of has no such mailbox' '' "$(kpost ls 2>&1 | grep orders)"
	within 10 in_machine m1 kpost-bridge status --json >"$bed/status" 2>&1
	holds 'the status tells of each route what went in and out' "\"in\": ?$number" "$(cat "$bed/status")"
	holds '... for one that is named, in words' 'running' \
		"$(in_machine m2 kpost-bridge status 'import orders' 2>&1)"
	stop_bridge m1 && stop_bridge m2 && stop_bridge m3
	verdict $? 'a bridge that is told to end does so, with 0'
}

# after NUMBER THEN...: when the reader on m2 has that many more; that must not be all of them
after()
{
	local reached
	((reached = $(stat_of m2 "$mailbox" received) + $1))
	within 120 stat_reaches m2 "$mailbox" received $reached || { say "$reached have not come"; return 1; }
	say "$SECONDS s: $reached have come: ${*:2}"
	"${@:2}"
	[ "$(stat_of m2 "$mailbox" received)" -lt "$total" ] || { say "all had come before '${*:2}'"; return 1; }
}

# Everything between sender and reader is killed, as often as is said, and in a long run a machine
# loses its link for 10 s; where, is said by what has come. The sender is slow until that is over,
# and then sends the rest.
deaths()
{
	local mailbox=jobs total=$many rate=5 status=0 machine round
	streams jobs 'max-bytes = 64M' 'max-messages = 100000'
	verdict $? 'the streams for what follows'
	export_route jobs | bridge_config m1 m1
	import_route jobs | bridge_config m2 m2
	start_bridge m1 m1
	start_bridge m2 m2
	flow recv m2 recv jobs $total 120 5
	flow send m1 send jobs $total 64 $rate
	for ((round = 0; round < rounds; round++)); do
		after 30 bridge_again m1 || status=1
		after 30 bridge_again m2 || status=1
		for machine in "${machines[@]}"; do
			after 30 server_dies "$machine" || status=1
			after 15 server_again "$machine" || status=1
		done
	done
	verdict $status "exporter, importer and each server are killed with messages under way ($rounds times)"
	if [ $rounds -gt 1 ]; then
		after 30 loses_link m1
		verdict $? '... and the machine of the exporter loses its link for 10 s'
	fi
	say "$(stat_of m2 $mailbox received) had come by then"
	signal send USR1
	finish send $((100 + total / 20))
	finish recv 200
	is '... and each message comes, once and in order' "received=$total $all_there badges=101:$total" \
		"$(last_line recv)" || where_they_are
	is '... and no more were sent than have come' "sent=$total" "$(last_line send | cut -d' ' -f1)"
	say "$(last_line send)"
	within 20 stream_holds KPOST_JOBS 0
	is '... and the stream is empty' 0 "$(stream_number KPOST_JOBS messages)"
	stop_bridge m1
	stop_bridge m2
}

held_up()
{
	[ "$(stat_of m1 slow waiting_senders)" -ge 1 ]
}

# A sender that is held up again later is not meant: nothing goes in while the reader stands.
stands()
{
	[ "$(stat_of m1 slow sent)" = "$1" ]
}

# Of those that did not come.
where_they_are()
{
	local line machine
	logs recv bridge-m1 bridge-m2
	say "mailboxes: $(stat_of m1 "$mailbox" queued_messages) and $(stat_of m1 "$mailbox" held) held," \
		"$(stat_of m2 "$mailbox" queued_messages); in the stream: $(stream_number KPOST_JOBS messages)"
	for machine in m1 m2; do
		in_machine "$machine" kpost-bridge status --json | while read -r line; do
			say "$machine: $line"
		done
	done
	ask "\$JS.API.CONSUMER.INFO.KPOST_JOBS.m2-jobs" | sed 's/^/# consumer: /'
}

# All that there is between sender and reader is small, so that it gets full at once.
pressure()
{
	local total=600 sent took bridge
	streams slow 'max-bytes = 16M' 'max-messages = 20'
	verdict $? 'the streams for what follows'
	export_route slow 'window = 8' | bridge_config m1 m1
	import_route slow 'batch = 8' | bridge_config m2 m2
	start_bridge m1 m1
	start_bridge m2 m2
	flow recv m2 recv slow $total 90 5
	flow send m1 send slow $total 16384
	within 60 stat_reaches m2 slow received 20
	signal recv STOP
	took=$(milliseconds held_up)
	[ "$took" -le $((2000 * slack)) ]
	verdict $? 'a sender is held up at once when the reader on another machine stands'
	say "after $took ms"
	# What is on its way still finds the room that there is.
	within 30 throughout 3 held_up
	sent=$(stat_of m1 slow sent)
	# Longer than any message may be out without being acknowledged, in a long run.
	throughout "$stand" stands "$sent"
	verdict $? "... and stays so ($stand s)"
	say "$sent of $total sent, $(stat_of m2 slow received) received," \
		"$(stream_number KPOST_SLOW messages) in the stream"
	signal recv CONT
	took=$(milliseconds goes_on "$sent")
	[ "$took" -le $((1000 * slack)) ]
	verdict $? '... and goes on at once when the reader does'
	say "after $took ms"
	finish send 120
	finish recv 120
	is '... and each message comes, once and in order' "received=$total $all_there badges=101:$total" \
		"$(last_line recv)" || logs bridge-m1 bridge-m2
	is '... and none of them was given to the bridge twice' '0 1' \
		"$(status_of m2 'import slow' duplicates) $(status_of m2 'import slow' anew)"
	for bridge in bridge-m1 bridge-m2; do
		[ "$(memory_of $bridge)" -lt 32768 ]
		verdict $? "... and $bridge takes less than 32 MiB"
		say "$(memory_of $bridge) KiB"
	done
	say "$(last_line send)"
	stop_bridge m1
	stop_bridge m2
}

goes_on()
{
	! stands "$1"
}

# The most that a process has had, in KiB.
memory_of()
{
	sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${pids[$1]}/status"
}

# Without certificates, for a change.
call_routes()
{
	printf '%s\n' '[call-out time]' 'timeout = 20s' 'mode = 0622' |
		bridge_config m1 m1 desk
	printf '%s\n' '[call-in time]' 'timeout = 20s' 'badge.m1 = 101' 'badge.* = 100' 'mode = 0644' | bridge_config m2 m2 desk
	start_bridge m1 m1
	start_bridge m2 m2
}

# serve [MOST]: until somebody has both said what they are there for, nobody may be.
serve()
{
	flow answer m2 answer time 65536 "$@"
	within 30 has_mailbox m1 time
	within 30 grep -qs ready "$bed/answer.out"
	within 30 served
}

served()
{
	[[ $(in_machine m2 kpost-bridge status 'call-in time' 2>&1) == *running* ]]
}

serve_no_more()
{
	signal answer TERM
	finish answer 20
}

calls()
{
	call_routes
	serve
	# The subscription may be on its way yet.
	within 60 in_machine m1 kpost-flow call time 1 >/dev/null 2>&1
	flow call m1 call time 100
	finish call 120
	holds 'calls of one machine are answered by another' 'calls=100 answered=100 .* errors=-$' \
		"$(last_line call)" || logs bridge-m1 bridge-m2
	flow call m1 call time 10 60000
	finish call 120
	holds '... also large ones' 'calls=10 answered=10 .* errors=-$' "$(last_line call)"
	serve_no_more
	holds '... and know by the badge where they came from' 'badges=101:1[0-9]*$' "$(last_line answer)"
	nobody_answers
	stop_bridge m2
	flow call m1 call time 3
	finish call 100
	holds '... and so does one to a machine that is not there' 'answered=0 .* errors=ECONNRESET:3$' \
		"$(last_line call)" || logs bridge-m1
	start_bridge m2 m2
	serve
	within 60 in_machine m1 kpost-flow call time 1 >/dev/null 2>&1
	verdict $? '... and calls are answered again when both are there again'
	serve_no_more
	server_of_calls_dies
	stop_bridge m1
	stop_bridge m2
}

# Over two bridges, beside what it is made of, in the foreground: one that looks whether it has
# ended takes a processor, and with it as much time as a call does.
what_calls_take()
{
	local bare near far failed
	bare=$(number_in p50_us "$(bare_requests 200)")
	near=$(number_in p50_us "$(in_machine m2 timeout 60 kpost-flow call time 200)")
	far=$(number_in p50_us "$(in_machine m1 timeout 60 kpost-flow call time 200)")
	serve_no_more
	within 10 not served
	failed=$(number_in failed_p50_us "$(in_machine m1 timeout 60 kpost-flow call time 200)")
	say "a call takes $far us, a request of NATS $bare us, a call on one machine $near us"
	[ $((10 * far)) -le $((13 * (bare + 2 * near))) ]
	verdict $? 'a call costs at most 1.3 times what a request of NATS and two local calls do'
	say "one that nobody is there for takes $failed us"
	[ "$failed" -le $((2 * bare)) ]
	verdict $? '... and at most two requests if nobody is there'
}

# In a VM whose time is what was executed, see run.
costs()
{
	call_routes
	serve
	within 60 in_machine m1 kpost-flow call time 1 >/dev/null 2>&1
	what_calls_take
	stop_bridge m1
	stop_bridge m2
}

# Within what two requests of NATS take, and not after a time-out.
nobody_answers()
{
	local bare took
	within 10 not served
	bare=$(number_in p50_us "$(bare_requests 50)")
	flow call m1 call time 20
	finish call 100
	holds 'a call to a mailbox that nobody has there ends with ECONNRESET' 'answered=0 .* errors=ECONNRESET:20$' \
		"$(last_line call)" || logs bridge-m1 bridge-m2
	took=$(number_in failed_p50_us "$(last_line call)")
	[ "$took" -le $((2 * bare * slack)) ]
	verdict $? '... at once'
	say "after $took us; a request of NATS, with its reply, takes $bare us"
}

not()
{
	! "$@"
}

# What NATS alone takes for a request from one machine to another.
bare_requests()
{
	local url
	url=nats://admin:admin-secret@$(address desk):4222
	rm -f "$bed/bare.out"
	start bare m2 kpost-bare answer "$url" bare.time
	within 20 grep -qs ready "$bed/bare.out"
	in_machine m1 kpost-bare request "$url" bare.time "$1"
	crash bare
}

threads_of()
{
	echo $(($(find "/proc/${pids[bridge-m1]}/task" -mindepth 1 -maxdepth 1 | wc -l) + \
		$(find "/proc/${pids[bridge-m2]}/task" -mindepth 1 -maxdepth 1 | wc -l)))
}

under_way()
{
	[ "$(status_of m2 'call-in time' unacknowledged)" = "$1" ]
}

# Calls that are received and never answered, until who received them is killed.
server_of_calls_dies()
{
	local threads took
	serve 0
	threads=$(threads_of)
	flow call m1 call time 1000 64 1000
	within 60 under_way 1000
	verdict $? 'a thousand calls are under way at once'
	is '... and take no thread' "$threads" "$(threads_of)"
	say "$threads threads in both bridges"
	crash answer
	finish call 60
	holds '... and all end when their server dies' 'calls=1000 answered=0 .* errors=ECONNRESET:1000$' \
		"$(last_line call)" || logs bridge-m1 bridge-m2
	serve 0
	flow call m1 call time 1
	within 60 under_way 1
	crash answer
	took=$(milliseconds ended call)
	finish call 20
	holds 'a call ends when its server dies' 'answered=0 .* errors=ECONNRESET:1$' "$(last_line call)"
	[ "$took" -le $((150 * slack)) ]
	verdict $? '... at once'
	say "at most $took ms after it was killed"
}

# What is wrong is told by one line, when the bridge is asked to look, and when it starts.
refusals()
{
	streams small 'max-bytes = 16M' 'max-messages = 1000'
	verdict $? 'the streams for what follows'

	holds 'the server refuses a message that says it is of another machine' \
		'Permissions Violation for Publish to "kpost.m1.q.small"' "$(tell m2 kpost.m1.q.small forged)"
	is '... and the stream has nothing of it' 0 "$(stream_number KPOST_SMALL messages)"
	export_route small 'subject = kpost.m1.q.small' | bridge_config forged m2
	refuses 'a route that would say so is refused' m2 forged 'kpost\.m1\.q\.small'

	export_route small | bridge_config wrong m1
	sed -i "s,^ca = .*,ca = $bed/other-ca.pem," "$bed/wrong.conf"
	refuses "a server's certificate of somebody else's is refused" m1 wrong '[Cc]ertificate'
	export_route small | bridge_config wrong m1
	sed -i -e "s,^cert = .*,cert = $bed/stranger.pem," -e "s,^key = .*,key = $bed/stranger.key," "$bed/wrong.conf"
	refuses "... and the bridge's own by the server" m1 wrong '[Cc]ertificate'
	export_route small | bridge_config wrong m1
	sed -i 's/^password = .*/password = guessed/' "$bed/wrong.conf"
	refuses 'a wrong password is refused' m1 wrong '[Aa]uthori[sz]ation|[Pp]assword'

	export_route small 'message-max = 4194304' | bridge_config wrong m1
	refuses 'messages that NATS would not take are refused at the start' m1 wrong 'small.*(payload|message)'

	make_stream KPOST_OLD 'kpost.*.q.old' \
		'"retention":"workqueue","discard":"old","max_msgs":1000,"duplicate_window":3600000000000'
	export_route old | bridge_config wrong m1
	refuses 'a stream that discards old messages is refused' m1 wrong 'KPOST_OLD.*discard'
	start_bridge wrong m1
	within 30 grep -qs discard "$bed/bridge-wrong.log"
	holds '... also by the bridge that is to run' 'KPOST_OLD.*discard|discard.*KPOST_OLD' \
		"$(cat "$bed/bridge-wrong.log")"
	stop_bridge wrong
	make_stream KPOST_SHORT 'kpost.*.q.short' \
		'"retention":"workqueue","discard":"new","max_msgs":1000,"duplicate_window":1000000000'
	export_route short | bridge_config wrong m1
	refuses 'a window for duplicates that is too short is refused' m1 wrong 'KPOST_SHORT.*(window|duplicate)'
	export_route nowhere | bridge_config wrong m1
	refuses 'a stream that does not exist is missed' m1 wrong 'KPOST_NOWHERE'

	import_route small | bridge_config wrong m2
	sed -i 's/^\(user\|password\) = m2/\1 = guest/' "$bed/wrong.conf"
	refuses 'a user without rights is told so' m2 wrong '[Rr]ights'
	import_route small 'consumer = m2-secret' | bridge_config wrong m2
	start_bridge wrong m2
	within 30 grep -qs m2-secret "$bed/bridge-wrong.log"
	holds '... and one that has none to a consumer, when it runs' 'm2-secret.*[Rr]ights' \
		"$(cat "$bed/bridge-wrong.log")"
	stop_bridge wrong

	{ export_route small && import_route small; } | bridge_config wrong m1
	refuses 'a mailbox that would be exported and imported is refused, since messages would go round' m1 wrong \
		'small.*round'

	in_machine m1 setpriv --reuid 65534 --regid 65534 --clear-groups kpost create -m 666 small
	export_route small | bridge_config wrong m1
	refuses "a mailbox that is another user's is refused" m1 wrong 'small.*(owner|user|root|65534|not permitted)'
	in_machine m1 kpost rm small
	own_messages
}

# What a machine has sent does not come back to it, by whichever subject it is imported.
own_messages()
{
	{
		export_route small
		import_route back 'subject = kpost.*.q.small' 'consumer = m1-small' |
			sed 's/^stream = .*/stream = KPOST_SMALL/'
	} | bridge_config m1 m1
	export_route small | bridge_config m3 m3
	start_bridge m1 m1
	start_bridge m3 m3
	flow recv m1 recv back 5 60 2
	flow send1 m1 send small 5 64
	flow send3 m3 send small 5 64
	finish send1 60
	finish send3 60
	finish recv 90
	is 'a message does not come back to the machine that has sent it' "received=5 $all_there badges=103:5" \
		"$(last_line recv)" || logs bridge-m1 bridge-m3
	holds '... and the log says so' 'on this machine before: it is dropped' "$(cat "$bed/bridge-m1.log")"
	stop_bridge m1
	stop_bridge m3
	# A work queue has one consumer for a subject, and another part has another for this.
	ask "\$JS.API.CONSUMER.DELETE.KPOST_SMALL.m1-small" >/dev/null
}

# A message that fits into NATS and not into the mailbox goes aside, and those behind it come.
aside()
{
	streams spare 'max-bytes = 16M' 'max-messages = 1000'
	export_route spare | bridge_config m1 m1
	import_route spare 'message-max = 1024' | bridge_config m2 m2
	start_bridge m1 m1
	start_bridge m2 m2
	flow recv m2 recv spare 20 60 3
	flow send m1 send spare 10 64
	finish send 60
	flow send m1 send spare 3 4000
	finish send 60
	flow send m1 send spare 10 64
	finish send 60
	finish recv 90
	is 'a message that is too large for its mailbox holds up nobody' "received=20 $all_there badges=101:20" \
		"$(last_line recv)" || logs bridge-m1 bridge-m2
	within 20 stream_holds KPOST_SPARE 3
	is '... and is kept with the dead letters' 3 "$(stream_number KPOST_SPARE messages)"
	holds '... and the log says so' 'spare.*(large|long|aside|dead)' "$(grep spare "$bed/bridge-m2.log")"
	stop_bridge m1
	stop_bridge m2
}

# Until when a message is of use is told at the other end; what comes too late is dropped, and counted.
expires()
{
	local told
	streams late 'max-bytes = 16M' 'max-messages = 1000'
	export_route late | bridge_config m1 m1
	import_route late | bridge_config m2 m2
	start_bridge m1 m1
	start_bridge m2 m2
	within 60 has_mailbox m2 late
	in_machine m1 sh -c 'echo soon | kpost send --expires=100 late; echo ever | kpost send late'
	in_machine m2 kpost recv --timeout 60 --count 2 --json late >"$bed/said" 2>&1
	told=$(sed -n 's/.*"time":\([0-9]*\),.*"expires":\([0-9]*\),.*/\1 \2/p' "$bed/said" |
		awk '!$2 { print "never" } $2 { left = $2 - $1; print (left > 50e9 && left < 101e9) }')
	is 'a receiver is told what is left of the time of a message' $'1\nnever' "$told" ||
		logs said bridge-m1 bridge-m2
	stop_bridge m2
	in_machine m1 sh -c 'echo old | kpost send --expires=8 late; printf "a\nb\n" | kpost send --expires=100 late'
	within 30 stream_holds KPOST_LATE 3
	# Its time has to pass.
	sleep 9
	start_bridge m2 m2
	is 'what comes too late is dropped' $'a\nb' "$(in_machine m2 kpost recv --timeout 60 --count 2 late 2>&1)" ||
		logs bridge-m1 bridge-m2
	is '... and counted' 1 "$(status_of m2 'import late' missed)"
	within 20 stream_holds KPOST_LATE 0
	is '... and gone from the stream' 0 "$(stream_number KPOST_LATE messages)"
	holds '... and the log says so' 'late.*after its time' "$(cat "$bed/bridge-m2.log")"
	stop_bridge m1
	stop_bridge m2
}

sealed_once()
{
	in_machine m1 sh -c 'printf hello | kpost send --expires=100 seal'
	sleep 0.3
	ended told
}

# A receiver is told the machine, and what that says of the sender; also of a message that is as long
# as its mailbox takes them without that.
envelopes()
{
	streams sealed 'max-bytes = 16M' 'max-messages = 1000'
	{
		export_route sealed
		printf '%s\n' '[call-out seal]' 'timeout = 20s' 'mode = 0622'
	} | bridge_config m1 m1
	{
		import_route sealed 'message-max = 1024' 'envelope = yes'
		printf '%s\n' '[call-in seal]' 'badge.m1 = 101' 'mode = 0644' 'envelope = yes'
	} | bridge_config m2 m2
	start_bridge m1 m1
	start_bridge m2 m2
	flow recv m2 recv sealed 40 60 3 m1
	flow send m1 send sealed 20 64
	finish send 60
	flow send m1 send sealed 20 1024
	finish send 60
	finish recv 90
	is 'envelopes say the machine and the sender' "received=40 $all_there badges=101:40" \
		"$(last_line recv)" || logs recv bridge-m1 bridge-m2
	in_machine m1 sh -c 'printf hello | kpost send sealed'
	in_machine m2 kpost recv --timeout 60 --envelope --json sealed >"$bed/said" 2>&1
	holds '... as the command shows it' '"size":5,.*"machine":"m1",.*"origin_uid":0,.*"payload":"hello"' \
		"$(cat "$bed/said")"
	within 30 has_mailbox m2 seal
	# What is sent to a call-out goes once, and is lost where nobody has subscribed yet.
	start told m2 kpost recv --timeout 60 --envelope --json seal
	within 60 sealed_once
	finish told 10
	holds '... and of what is sent to a call-out, also until when it is of use' \
		'"expires":[1-9].*"payload":"hello"' "$(cat "$bed/told.out")" || logs told bridge-m1 bridge-m2
	flow answer m2 answer seal 65536 1000 m1
	within 60 in_machine m1 kpost-flow call seal 1 >/dev/null 2>&1
	flow call m1 call seal 10
	finish call 120
	holds '... also those of calls' 'calls=10 answered=10 .* errors=-$' "$(last_line call)" ||
		logs answer bridge-m1 bridge-m2
	signal answer TERM
	finish answer 20
	stop_bridge m2
	import_route sealed 'message-max = 1024' | bridge_config wrong m2
	start_bridge wrong m2
	within 30 grep -qs envelope "$bed/bridge-wrong.log"
	holds 'a mailbox with envelopes is refused by a route without' 'sealed.*envelope' \
		"$(cat "$bed/bridge-wrong.log")"
	stop_bridge wrong
	stop_bridge m1
}

# The stream forgets ids at once, as JetStream does where it stores a message twice; and the bridge
# that knew the first one is dead.
twice()
{
	make_stream KPOST_TWICE 'kpost.*.q.twice' \
		'"retention":"workqueue","discard":"new","max_msgs":1000,"duplicate_window":100000000'
	import_route twice | bridge_config m2 m2
	start_bridge m2 m2
	publish m1 kpost.m1.q.twice beef.7 hello
	publish m1 kpost.m1.q.twice cafe.3 'of another mailbox'
	within 60 stat_reaches m2 twice sent 2
	within 20 stream_holds KPOST_TWICE 0
	crash bridge-m2
	publish m1 kpost.m1.q.twice beef.7 hello
	publish m1 kpost.m1.q.twice cafe.3 'of another mailbox'
	publish m1 kpost.m1.q.twice beef.8 'and more'
	is 'messages are stored twice by a stream that does not know them' 3 "$(stream_number KPOST_TWICE messages)"
	start_bridge m2 m2
	within 60 stat_reaches m2 twice sent 3
	within 20 stream_holds KPOST_TWICE 0
	is '... and are in the mailbox once, though another process has put them there' '3 2' \
		"$(stat_of m2 twice sent) $(status_of m2 'import twice' duplicates)" || logs bridge-m2
	stop_bridge m2
}

# What looks like the server's word that nobody was there is a message as any other.  And a server
# that stops, in the middle of what it says or of what it is told, stops nobody else.
halts()
{
	local total=200 most=0 took
	streams halt 'max-bytes = 64M' 'max-messages = 100000'
	verdict $? 'the streams for what follows'
	export_route halt | bridge_config m1 m1
	import_route halt | bridge_config m2 m2
	sed -i "s/^servers = .*/servers = tls:\/\/$(address m2):4223/" "$bed/m2.conf"
	start stall m2 kpost-stall "$(address m2)" 4223 4222 1000000
	start_bridge m2 m2
	publish m1 kpost.m1.q.halt beef.1 before
	publish_headers m1 kpost.m1.q.halt $'NATS/1.0 503\r\n\r\n' ''
	publish m1 kpost.m1.q.halt beef.2 behind
	within 60 has_mailbox m2 halt
	is 'a message that looks like the word that nobody is there comes as any other' $'before\n\nbehind' \
		"$(in_machine m2 kpost recv --timeout 60 --count 3 halt 2>&1)" || logs bridge-m2
	start_bridge m1 m1
	flow recv m2 recv halt $total 90 5
	flow send m1 send halt $total 16384
	while running recv; do
		took=$(milliseconds in_machine m2 kpost-bridge status | tail -n 1)
		[ "$took" -le "$most" ] || most=$took
	done
	finish send 90
	finish recv 90
	is 'a server that stops in the middle of what it says loses and doubles nothing' \
		"received=$total $all_there badges=101:$total" "$(last_line recv)" || logs bridge-m2
	[ "$(grep -c stopped "$bed/stall.out")" -ge 3 ]
	verdict $? '... again and again'
	[ "$most" -le $((5000 * slack)) ]
	verdict $? '... and the bridge goes on'
	say "it said how it is within $most ms; the server stopped $(grep -c stopped "$bed/stall.out") times"

	flow recv m2 recv halt $total 90 5
	flow send m1 send halt $total 16384
	within 60 stat_reaches m2 halt received $((total + total / 4))
	signal nats-m1 STOP
	finish send 90
	finish recv 90
	is '... nor when it takes nothing any more, and its connections stay' \
		"received=$total $all_there badges=101:$total" "$(last_line recv)" || logs bridge-m1 bridge-m2
	say "$(last_line send)"
	server_dies m1 && server_again m1
	verdict $? '... and another one is there in its place'
	stop_bridge m1
	stop_bridge m2
	crash stall
}

# Two bridges with the same file: one has the routes, and when it is killed the other has them.
standby()
{
	local total=600
	streams small 'max-bytes = 16M' 'max-messages = 100000'
	verdict $? 'the streams for what follows'
	export_route small | bridge_config m1 m1
	import_route small | bridge_config m2 m2
	cp "$bed/m1.conf" "$bed/second.conf"
	start_bridge m1 m1
	start_bridge m2 m2
	within 60 has_mailbox m1 small
	start_bridge second m1
	within 60 grep -qsi stand "$bed/bridge-second.log"
	holds 'a second bridge for the same routes stands by' '[Ss]tand' "$(cat "$bed/bridge-second.log")"
	flow recv m2 recv small $total 90 5
	flow send m1 send small $total 64 50
	within 60 stat_reaches m2 small received 200
	crash bridge-m1
	finish send 120
	finish recv 120
	is '... and takes over from the first one when that is killed' \
		"received=$total $all_there badges=101:$total" "$(last_line recv)" ||
		logs bridge-m1 bridge-second bridge-m2
	running bridge-second
	verdict $? '... and goes on'
	stop_bridge second
	stop_bridge m2
}

# ---- for as long as is wanted

# Something is killed, or a machine loses its link for some seconds.
mishap()
{
	local machine=m$((RANDOM % 3 + 1))
	case $((RANDOM % 6)) in
	0) say "$1: the bridge of m1 dies" && bridge_again m1 ;;
	1) say "$1: the bridge of m2 dies" && bridge_again m2 ;;
	2) say "$1: the bridge of m3 dies" && bridge_again m3 ;;
	3) say "$1: the server of $machine dies" && server_dies "$machine" && server_again "$machine" ;;
	4) say "$1: all servers die" && all_servers_die ;;
	5) say "$1: $machine has no link for 10 s" && loses_link "$machine" ;;
	esac
}

loses_link()
{
	link "$1" down
	sleep 10 # that is what happens
	link "$1" up
	within 90 server_ready "$1" || say "the server of $1 is not well"
}

# Without a majority nothing goes on, so nobody waits for one of them before all are there.
all_servers_die()
{
	local machine
	for machine in "${machines[@]}"; do
		server_dies "$machine"
	done
	for machine in "${machines[@]}"; do
		start_server "$machine"
	done
	for machine in "${machines[@]}"; do
		within 90 server_ready "$machine" || say "the server of $machine is not well"
	done
}

stress()
{
	local round=0 total=1500 next seed end got
	seed=${SEED:-$RANDOM}
	RANDOM=$seed
	end=$((SECONDS + limit))
	say "SEED=$seed"
	streams stress 'max-bytes = 64M' 'max-messages = 100000'
	verdict $? 'the streams for what follows'
	export_route stress | bridge_config m1 m1
	export_route stress | bridge_config m3 m3
	import_route stress | bridge_config m2 m2
	start_bridge m1 m1
	start_bridge m2 m2
	start_bridge m3 m3
	while [ $SECONDS -lt $end ] && [ $failed -eq 0 ]; do
		round=$((round + 1))
		flow recv m2 recv stress $((2 * total)) 180 10
		within 60 has_mailbox m2 stress
		next=$(stat_of m2 stress received)
		got=$((next + 2 * total))
		flow send1 m1 send stress $total 64 50
		flow send3 m3 send stress $total 2000 50
		for ((next += RANDOM % 300 + 50; next < got; next += RANDOM % 1000 + 200)); do
			within 180 stat_reaches m2 stress received $next || break
			mishap "$((next + 2 * total - got))"
		done
		finish send1 300
		finish send3 300
		finish recv 300
		is "round $round: all come, once and in order" \
			"received=$((2 * total)) $all_there badges=101:$total,103:$total" "$(last_line recv)" ||
			logs bridge-m1 bridge-m2 bridge-m3
		say "$(last_line send1)" "$(last_line send3)"
	done
	stop_bridge m1
	stop_bridge m2
	stop_bridge m3
}

# ---- the run

finally()
{
	trap - EXIT
	bed_down
}

while [[ ${1-} == --* ]]; do
	case $1 in
	--time) limit=$2 && shift ;;
	--server) nats=$2 && shift ;;
	--full) many=20000 rounds=3 stand=60 slack=1 ;;
	esac
	shift
done
[ "$*" != costs ] || clustered=()
parts=${*:-messages deaths pressure calls refusals aside expires envelopes twice halts standby}
echo 'TAP version 13'
for tool in "$nats" ip openssl insmod kpost kpost-flow kpost-bridge kpost-bare; do
	command -v "$tool" >/dev/null && continue
	echo "Bail out! no $tool here; 'sh tools/setup bridge-test' installs and builds what is needed"
	echo '0 passed, 1 failed, 0 skipped'
	exit 1
done
trap finally EXIT
bed_up
verdict $? 'three machines, and NATS on them'
say "$("$nats" --version)"
if [ $failed -eq 0 ]; then
	for part in $parts; do
		begin=$SECONDS
		"$part"
		say "$part took $((SECONDS - begin)) s"
	done
else
	logs nats-m1 nats-m2 nats-m3 openssl
fi
left=$(mktemp)
finally >"$left"
is 'nothing is left running' '' "$(cat "$left")"
rm "$left"
echo "1..$count"
echo "$((count - failed)) passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
