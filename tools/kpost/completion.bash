# SPDX-License-Identifier: GPL-2.0-only
#
# bash completion for kpost(1)

_kpost_names()
{
	local name escaped
	while IFS= read -r name; do
		[[ $name == "$cur"* ]] || continue
		# Names may hold spaces and worse.
		printf -v escaped '%q' "$name"
		COMPREPLY+=("$escaped")
	done < <(kpost ls --names 2>/dev/null)
}

# A mailbox's name or, with a '/' in it, its path.
_kpost_mailboxes()
{
	if [[ $cur == */* ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	else
		_kpost_names
	fi
}

_kpost_words()
{
	local word
	for word in "$@"; do
		[[ $word == "$cur"* ]] && COMPREPLY+=("$word")
	done
}

_kpost()
{
	local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} options='' i
	COMPREPLY=()

	if ((COMP_CWORD == 1)); then
		_kpost_words create send recv call serve work grant ls stat set shut rm wait mount bridge info \
			--help --version
		return
	fi
	# Behind the name, these run a command with options of its own.
	if [[ $verb == @(serve|work|grant) ]]; then
		for ((i = 2; i < COMP_CWORD; i++)); do
			if [[ ${COMP_WORDS[i]} == -- ]]; then
				if ((i == COMP_CWORD - 1)); then
					mapfile -t COMPREPLY < <(compgen -c -- "$cur")
				else
					mapfile -t COMPREPLY < <(compgen -f -- "$cur")
				fi
				return
			fi
		done
	fi
	if [[ $cur == -* ]]; then
		case $verb in
		create) options='--mode --messages --bytes --message-max --keyed --overflow --held-max --exclusive' ;;
		send) options='--priority --tag --timeout --sync --expires --clock --number --drop --replace --present --whole --create --owner' ;;
		recv) options='--count --follow --timeout --tag --peek --envelope --owner --raw --json' ;;
		call) options='--priority --tag --timeout --present --retry --owner --reply-max --raw --json' ;;
		serve) options='--jobs --attempts --succeed --owner --' ;;
		work) options='--jobs --attempts --aside --pause --owner --' ;;
		grant) options='--badge --mark --tag --priority --owner --input --' ;;
		ls) options='--names --json' ;;
		stat) options='--json' ;;
		set) options='--mode --owner --messages --bytes --overflow --held-max' ;;
		wait) options='--timeout' ;;
		bridge) options='--check --setup --json' ;;
		info) options='--json' ;;
		esac
		# shellcheck disable=SC2086 # words of ours
		_kpost_words $options --help --usage
		return
	fi
	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --owner || ($verb == set && ${COMP_WORDS[COMP_CWORD - 1]} == -o) ]]; then
		mapfile -t COMPREPLY < <(compgen -u -- "$cur")
		return
	fi
	case $verb in
	send)
		# First the mailbox, then a file.
		for ((i = 2; i < COMP_CWORD; i++)); do
			case ${COMP_WORDS[i - 1]} in
			--priority | --tag | --timeout | --owner | -p | -t) continue ;;
			esac
			if [[ ${COMP_WORDS[i]} != -* ]]; then
				mapfile -t COMPREPLY < <(compgen -f -- "$cur")
				return
			fi
		done
		_kpost_mailboxes
		;;
	bridge)
		_kpost_words status
		mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
		;;
	ls | mount) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
	create | recv | call | serve | work | grant | stat | rm) _kpost_mailboxes ;;
	set | shut) _kpost_names ;;
	esac
}

complete -F _kpost kpost
