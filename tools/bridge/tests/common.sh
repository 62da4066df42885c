#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# What the tests of the bridge share, in the VM (bed.sh) and on this machine (host): processes that
# are waited for and killed, talk with NATS, and results. To be sourced by a script that says:
#
# enter MACHINE COMMAND...	executes it there, in place of the shell
# address MACHINE|desk		of its server, or of that for what the tests themselves say
# bridge_config FILE MACHINE	what the file of a bridge begins with, and then stdin
# server_ready MACHINE		its server is
#
# All that is waited for has a deadline.
# shellcheck disable=SC2034 # variables for who sources it

bed=$(mktemp -d)
declare -A pids=()
count=0 failed=0
replicas=3 retention=work-queue nats=nats-server
# What tells the numbers of a mailbox, as JSON.
stat_with=(kpost stat --json)

say()
{
	echo "# $*"
}

# within SECONDS COMMAND...: until it succeeds
within()
{
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# throughout SECONDS COMMAND...: it succeeds all the time
throughout()
{
	local end=$((SECONDS + $1))
	shift
	while "$@"; do
		[ $SECONDS -lt $end ] || return 0
		sleep 0.5
	done
	return 1
}

# ---- results

# verdict STATUS NAME: that is ok if the status is 0
verdict()
{
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
	fi
}

# Those that look at what was said of a machine's bridges when something was not ok.
logs()
{
	local name
	for name; do
		[ ! -s "$bed/$name.log" ] || tail -n 8 "$bed/$name.log" | sed "s/^/# $name: /"
	done
}

# is NAME EXPECTED GOT
is()
{
	[ "$2" = "$3" ]
	verdict $? "$1"
	[ "$2" = "$3" ] && return
	say "expected '$2'"
	say "but it is '$3'"
	return 1
}

last_line()
{
	tail -n 1 "$bed/$1.out" 2>/dev/null
}

# ---- machines and processes

in_machine()
{
	(enter "$@")
}

# start NAME MACHINE COMMAND...: in the background; what it prints is appended to $bed/NAME.out and
# $bed/NAME.log
start()
{
	enter "${@:2}" >>"$bed/$1.out" 2>>"$bed/$1.log" </dev/null &
	pids[$1]=$!
}

running()
{
	[ -n "${pids[$1]-}" ] && kill -0 "${pids[$1]}" 2>/dev/null
}

ended()
{
	! running "$1"
}

# finish NAME SECONDS: its status; if it is late, it is asked to end, and then made to
finish()
{
	local status
	[ -n "${pids[$1]-}" ] || return 127
	if ! within "$2" ended "$1"; then
		say "$1 is late"
		kill -TERM "${pids[$1]}"
		within 10 ended "$1" || kill -KILL "${pids[$1]}"
	fi
	wait "${pids[$1]}" 2>/dev/null
	status=$?
	unset "pids[$1]"
	return $status
}

# crash NAME: as if it was never told
crash()
{
	[ -n "${pids[$1]-}" ] || return
	kill -KILL "${pids[$1]}" 2>/dev/null
	wait "${pids[$1]}" 2>/dev/null
	unset "pids[$1]"
}

signal()
{
	kill "-$2" "${pids[$1]}"
}

# stat_of MACHINE MAILBOX KEY: a number that its office tells of it, 0 if there is no such mailbox
stat_of()
{
	local json
	json=$(in_machine "$1" "${stat_with[@]}" "$2" 2>/dev/null)
	[[ $json =~ \"$3\":([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

stat_reaches()
{
	[ "$(stat_of "$1" "$2" "$3")" -ge "$4" ]
}

# ---- NATS

start_server()
{
	start "nats-$1" "$1" "$nats" -c "$bed/nats-$1.conf"
}

# What a server tells of itself: http_get MACHINE PATH
http_get()
{
	# shellcheck disable=SC2016 # for the shell that is started
	timeout 5 bash -c 'exec 3<>"/dev/tcp/$1/8222" && printf "GET %s HTTP/1.0\r\n\r\n" "$2" >&3 && cat <&3' \
		- "$(address "$1")" "$2" 2>/dev/null
}

healthy()
{
	[[ $(http_get "$1" /healthz) =~ \"status\":\ *\"ok\" ]]
}

has_leader()
{
	[[ $(http_get "$1" /jsz) =~ \"leader\":\ *\"m[0-9]\" ]]
}

# ask SUBJECT [TEXT]: a request of the administrator at the desk; prints the reply
ask()
{
	# shellcheck disable=SC2016 # for the shell that is started
	timeout 20 bash -c '
		exec 3<>"/dev/tcp/$1/4222" || exit
		printf "%s\r\n" "CONNECT {\"verbose\":false,\"user\":\"admin\",\"pass\":\"admin-secret\"}" \
			"SUB _INBOX.admin 1" "PUB $2 _INBOX.admin ${#3}" "$3" >&3
		while IFS=" " read -r verb rest <&3; do
			case $verb in
			-ERR) echo "$rest" >&2; exit 1 ;;
			PING*) printf "PONG\r\n" >&3 ;;
			MSG) IFS= read -r reply <&3; echo "${reply%?}"; exit 0 ;;
			esac
		done' - "$(address desk)" "$1" "${2-}"
}

# stream_number STREAM KEY: of what the stream tells of itself, "messages" or "consumer_count"
stream_number()
{
	local reply
	reply=$(ask "\$JS.API.STREAM.INFO.$1" 2>/dev/null)
	[[ $reply =~ \"$2\":([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo unknown
}

stream_holds()
{
	[ "$(stream_number "$1" messages)" = "$2" ]
}

# make_stream NAME SUBJECT SETTINGS: by hand, as no bridge would make it
make_stream()
{
	local reply
	reply=$(ask "\$JS.API.STREAM.CREATE.$1" "{\"name\":\"$1\",\"subjects\":[\"$2\"],\"storage\":\"file\",$3}")
	[[ $reply != *'"error"'* && -n $reply ]] || { say "$reply"; return 1; }
}

server_dies()
{
	crash "nats-$1"
}

# The next death comes when the cluster is whole again, else it would stand still.
server_again()
{
	start_server "$1"
	within 90 server_ready "$1" || say "the server of $1 is not well"
}

# ---- streams, bridges and messages

# As the administrator: makes the streams that stdin describes.
set_up_streams()
{
	bridge_config setup m1
	sed -i -e 's/^user = .*/user = admin/' -e 's/^password = .*/password = admin-secret/' "$bed/setup.conf"
	within 60 in_machine m1 kpost-bridge --setup "$bed/setup.conf" >"$bed/setup.log" 2>&1 || {
		tail -n 5 "$bed/setup.log" | sed 's/^/# /'
		return 1
	}
}

# streams NAME SETTING...: one stream for the mailbox of that name, as all here have them
streams()
{
	printf '%s\n' "[stream KPOST_${1^^}]" "subjects = kpost.*.q.$1 kpost.*.dead.$1" "replicas = $replicas" \
		'duplicate-window = 1h' "retention = $retention" "${@:2}" | set_up_streams
}

export_route()
{
	printf '%s\n' "[export $1]" "stream = KPOST_${1^^}" 'mode = 0622' "${@:2}"
}

import_route()
{
	printf '%s\n' "[import $1]" "stream = KPOST_${1^^}" 'badge.m1 = 101' 'badge.m3 = 103' \
		'badge.* = 100' 'mode = 0644' "${@:2}"
}

# start_bridge NAME MACHINE: with the file of that name
start_bridge()
{
	start "bridge-$1" "$2" kpost-bridge "$bed/$1.conf"
}

# stop_bridge NAME: it is asked to end
stop_bridge()
{
	running "bridge-$1" || return 0
	signal "bridge-$1" TERM
	finish "bridge-$1" 20
}

bridge_again()
{
	crash "bridge-$1"
	start_bridge "$1" "$1"
}

# flow NAME MACHINE ARGUMENT...: kpost-flow in the background
flow()
{
	rm -f "$bed/$1.out"
	start "$1" "$2" kpost-flow "${@:3}"
}
