#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Three machines in one, for the tests of the bridge: the network namespaces m1, m2 and m3 have
# an office each, and a nats-server each, which are one cluster with JetStream. To be sourced
# by a script that runs as root in the VM, and calls bed_up and, whatever happens, bed_down.
#
# All that is waited for has a deadline. The rights of the NATS users are those that the manual
# advises: who is m1 there can speak for m1 only. Clients show certificates, but at the desk: that
# is a server of the cluster without JetStream, outside of the machines, for what the tests
# themselves have to say and to ask, and for bridges that shall do without.

machines=(m1 m2 m3)
net=10.9.0
bed=$(mktemp -d)
declare -A pids=()

# The mailboxes that machines may import: rights have no wildcard for a part of a word.
importable='orders jobs slow small spare stress'

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

# ---- machines and processes

address()
{
	[ "$1" = desk ] && echo "$net.254" || echo "$net.${1#m}"
}

network_of()
{
	[ "$1" = desk ] && echo /proc/self/ns/net || echo "/run/netns/$1"
}

in_machine()
{
	nsenter --net="$(network_of "$1")" -- "${@:2}"
}

# start NAME MACHINE COMMAND...: in the background; what it prints is appended to $bed/NAME.out and
# $bed/NAME.log
start()
{
	nsenter --net="$(network_of "$2")" -- "${@:3}" >>"$bed/$1.out" 2>>"$bed/$1.log" </dev/null &
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

# stat_of MACHINE MAILBOX KEY: a number of 'kpost stat', 0 if there is no such mailbox
stat_of()
{
	local json
	json=$(in_machine "$1" kpost stat --json "$2" 2>/dev/null)
	[[ $json =~ \"$3\":([0-9]+) ]] && echo "${BASH_REMATCH[1]}" || echo 0
}

stat_reaches()
{
	[ "$(stat_of "$1" "$2" "$3")" -ge "$4" ]
}

has_mailbox()
{
	in_machine "$1" kpost stat "$2" >/dev/null 2>&1
}

# ---- the network

# Only what is linked to the kernel is there by itself. What needs another comes after it.
load_modules()
{
	local name file
	for name in llc stp bridge veth; do
		[ ! -d "/sys/module/$name" ] || continue
		file=$(find "${BUILD:-build}"/kernel/*/root/lib/modules/"$(uname -r)" -name "$name.ko" 2>/dev/null)
		if [ -z "$file" ]; then
			say "no module $name for $(uname -r); if the kernel has it, remove build/kernel/6.12, or"
			say "which it is, and the next run unpacks it"
			return 1
		fi
		insmod "$file" || return
	done
}

network_up()
{
	local machine
	load_modules || return
	ip link add kpost-bed type bridge forward_delay 0 &&
		ip addr add "$(address desk)/24" dev kpost-bed && ip link set kpost-bed up || return
	for machine in "${machines[@]}"; do
		ip netns add "$machine" &&
			ip link add "to-$machine" type veth peer name eth0 netns "$machine" &&
			ip link set "to-$machine" master kpost-bed up &&
			ip -n "$machine" link set lo up &&
			ip -n "$machine" addr add "$(address "$machine")/24" dev eth0 &&
			ip -n "$machine" link set eth0 up || return
	done
}

network_down()
{
	local machine
	for machine in "${machines[@]}"; do
		ip netns del "$machine" 2>/dev/null
	done
	ip link del kpost-bed 2>/dev/null
}

# link MACHINE up|down
link()
{
	ip link set "to-$1" "$2"
}

# ---- certificates

# certificate NAME ISSUER ca|end [SUBJECTALTNAME]: by the issuer, which can be itself
certificate()
{
	local issuer=()
	[ "$1" = "$2" ] || issuer=(-CA "$bed/$2.pem" -CAkey "$bed/$2.key")
	openssl req -x509 "${issuer[@]}" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-config <(printf '%s\n' '[req]' distinguished_name=dn prompt=no '[dn]' "CN=$1" \
			'[ca]' basicConstraints=critical,CA:TRUE \
			'[end]' basicConstraints=critical,CA:FALSE "subjectAltName=${4-}") \
		-extensions "$3" -keyout "$bed/$1.key" -out "$bed/$1.pem" 2>>"$bed/openssl.log"
}

certificates()
{
	local machine at
	certificate ca ca ca && certificate other-ca other-ca ca &&
		certificate stranger other-ca end DNS:stranger || return
	for machine in "${machines[@]}"; do
		at=$(address "$machine")
		certificate "$machine" ca end "IP:$at,DNS:$at,DNS:$machine" || return
	done
}

# ---- NATS

# What a machine's user may do: all that it says is said under its name.
rights()
{
	local name verb subjects=("kpost.$1.>" "\$JS.API.INFO" "\$JS.API.STREAM.INFO.*")
	for name in $importable; do
		for verb in DURABLE.CREATE DELETE INFO MSG.NEXT; do
			subjects+=("\$JS.API.CONSUMER.$verb.*.$1-$name")
		done
		subjects+=("\$JS.ACK.*.$1-$name.>")
	done
	printf 'publish: ['
	printf '"%s", ' "${subjects[@]}"
	printf '], subscribe: ["_INBOX.%s.>", "kpost.*.call.>", "kpost.*.reply.%s.>"]' "$1" "$1"
}

# The password of a user is the name with "-secret" after it. Clients are not told of servers that
# they were not given, since they may not be for them.
server_config()
{
	local machine at routes=
	for machine in "${machines[@]}"; do
		[ "$machine" = "$1" ] || routes+="nats://$(address "$machine"):6222 "
	done
	at=$(address "$1")
	cat <<-END
		server_name: $1
		listen: "$at:4222"
		http: "$at:8222"
		cluster { name: bed, listen: "$at:6222", no_advertise: true, routes: [ ${routes// /, } ] }
	END
	[ "$1" = desk ] || cat <<-END
		jetstream { store_dir: "$bed/store-$1", max_memory_store: 64MB, max_file_store: 512MB }
		tls {
			cert_file: "$bed/$1.pem", key_file: "$bed/$1.key", ca_file: "$bed/ca.pem"
			verify: true, timeout: 20
		}
	END
	cat <<-END
		authorization {
			timeout: 20
			users: [
				{ user: admin, password: admin-secret }
	END
	echo '{ user: guest, password: guest-secret, permissions: { publish: "none", subscribe: "_INBOX.>" } }'
	for machine in "${machines[@]}"; do
		echo "{ user: $machine, password: $machine-secret, permissions: { $(rights "$machine") } }"
	done
	printf ']\n}\n'
}

start_server()
{
	start "nats-$1" "$1" nats-server -c "$bed/nats-$1.conf"
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

server_ready()
{
	healthy "$1" && has_leader "$1"
}

# tell USER SUBJECT [TEXT]: publishes at the desk, as that user; prints what the server complains of
tell()
{
	# shellcheck disable=SC2016 # for the shell that is started
	timeout 20 bash -c '
		exec 3<>"/dev/tcp/$1/4222" || exit
		printf "%s\r\n" "CONNECT {\"verbose\":false,\"user\":\"$2\",\"pass\":\"$2-secret\"}" \
			"PUB $3 ${#4}" "$4" PING >&3
		while IFS=" " read -r verb rest <&3; do
			case $verb in
			-ERR) echo "${rest%?}" ;;
			PONG*) exit 0 ;;
			esac
		done' - "$(address desk)" "$1" "$2" "${3-}"
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

cluster_up()
{
	local machine
	for machine in "${machines[@]}" desk; do
		server_config "$machine" >"$bed/nats-$machine.conf"
		start_server "$machine"
	done
	for machine in "${machines[@]}"; do
		within 90 server_ready "$machine" || { say "no leader for $machine"; return 1; }
	done
}

# ---- bridges

# bridge_config FILE MACHINE [desk]: what every file begins with; the routes come from stdin
bridge_config()
{
	local machine servers
	servers=tls://$(address "$2"):4222
	for machine in "${machines[@]}"; do
		[ "$machine" = "$2" ] || servers+=" tls://$(address "$machine"):4222"
	done
	[ "${3-}" != desk ] || servers=nats://$(address desk):4222
	{
		printf '%s\n' "machine = $2" "servers = $servers" "user = $2" "password = $2-secret"
		[ "${3-}" = desk ] || printf '%s\n' "ca = $bed/ca.pem" "cert = $bed/$2.pem" "key = $bed/$2.key"
		cat
	} >"$bed/$1.conf"
}

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

bed_up()
{
	network_up && certificates && cluster_up
}

# Prints who is left in a machine, of those that nobody here knows of.
bed_down()
{
	local name machine left
	for name in "${!pids[@]}"; do
		crash "$name"
	done
	for machine in "${machines[@]}"; do
		for left in $(ip netns pids "$machine" 2>/dev/null); do
			echo "$machine: $left: $(tr '\0' ' ' <"/proc/$left/cmdline")"
			kill -KILL "$left" 2>/dev/null
		done
	done
	network_down
	rm -rf "$bed"
}
