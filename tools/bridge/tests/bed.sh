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

: "${top:?}" # of the tree
# shellcheck source=tools/bridge/tests/common.sh
. "$top/tools/bridge/tests/common.sh"
machines=(m1 m2 m3)
# Those that have a nats-server; without any there is that of the desk alone.
clustered=("${machines[@]}")
net=10.9.0

# The mailboxes that machines may import: rights have no wildcard for a part of a word.
importable='orders jobs slow small spare late sealed stress twice halt'

# ---- machines and processes

address()
{
	[ "$1" = desk ] && echo "$net.254" || echo "$net.${1#m}"
}

network_of()
{
	[ "$1" = desk ] && echo /proc/self/ns/net || echo "/run/netns/$1"
}

enter()
{
	exec nsenter --net="$(network_of "$1")" -- "${@:2}"
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
	for machine in "${clustered[@]}"; do
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

# publish USER SUBJECT ID TEXT: the same, with an id
publish()
{
	publish_headers "$1" "$2" $'NATS/1.0\r\n'"Nats-Msg-Id: $3"$'\r\n\r\n' "$4"
}

# publish_headers USER SUBJECT HEADERS TEXT
publish_headers()
{
	# shellcheck disable=SC2016 # for the shell that is started
	timeout 20 bash -c '
		exec 3<>"/dev/tcp/$1/4222" || exit
		printf "%s\r\n" "CONNECT {\"verbose\":false,\"headers\":true,\"user\":\"$2\",\"pass\":\"$2-secret\"}" \
			"HPUB $3 ${#4} $((${#4} + ${#5}))" "$4$5" PING >&3
		while IFS=" " read -r verb rest <&3; do
			[[ $verb != PONG* ]] || exit 0
		done' - "$(address desk)" "$1" "$2" "$3" "$4"
}

cluster_up()
{
	local machine
	for machine in "${clustered[@]}" desk; do
		server_config "$machine" >"$bed/nats-$machine.conf"
		start_server "$machine"
	done
	for machine in "${clustered[@]}"; do
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
