# shellcheck shell=bash
# What the demo prints: chapters, commands as a person would type them, words in between, and the closing table.

if [ -t 1 ]; then
    BOLD=$'\e[1m' DIM=$'\e[2m' PLAIN=$'\e[0m'
else
    BOLD='' DIM='' PLAIN=''
fi

CHAPTER=0
chapter() { # TITLE
    CHAPTER=$((CHAPTER + 1))
    printf '\n%s%s. %s%s\n' "$BOLD" "$CHAPTER" "$1" "$PLAIN"
}

note() { # WORDS…
    printf '%s\n' "$*" | fold -s -w 112 | sed 's/^/   /'
}

fail() { # WORDS… : says why, shows the end of every log, and ends the demo
    printf '\n%s   The demo failed: %s%s\n' "$BOLD" "$*" "$PLAIN" >&2
    local log
    for log in "${RUN:-/nonexistent}"/log/*.log; do
        [ -s "$log" ] || continue
        printf '   --- the end of %s\n' "$log" >&2
        tail -n 12 "$log" | cut -c 1-300 | sed 's/^/   | /' >&2
    done
    exit 1
}

# A command as it is typed: words quoted only where they need it, the demo's folder as $D, a token shortened.
typed() { # WHO WORD…
    local who=$1 line='' word
    shift
    for word; do
        case $word in
            kjt1.* | eyJ*) word=${word:0:12}… ;;
            *\'*) word="\"$word\"" ;;
            *[!A-Za-z0-9_/.:=@%+,-]*) word="'$word'" ;;
        esac
        line+=" ${word//"$RUN"/\$D}"
    done
    printf '   %s%s$%s%s\n' "$BOLD" "$who" "$line" "$PLAIN"
}

# What a command printed, indented; with SHOW=N only the last N lines, with SHOW=0 nothing.
shown() {
    sed -E "s|$RUN|\$D|g; s/((kjt1\.|eyJ)[A-Za-z0-9_-]{10})[A-Za-z0-9_.-]+/\1…/g" | cut -c 1-200 | { if [ "${SHOW:-all}" = all ]; then cat; else tail -n "$SHOW"; fi; } | sed "s/^/     $DIM/; s/\$/$PLAIN/"
}

ROWS=()
row() { # WHAT RESULT SECONDS
    ROWS+=("$1|$2|$3")
}

table() {
    local line
    printf '   %-42s  %-58s %8s\n' 'what' 'result' 'seconds'
    printf '   %s\n' "$(printf -- '-%.0s' {1..110})"
    for line in "${ROWS[@]}"; do
        IFS='|' read -r what result seconds <<<"$line"
        printf '   %-42s  %-58s %8s\n' "$what" "$result" "$seconds"
    done
}

# Microseconds since 1970, for `seconds_since`.
now() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }

seconds_since() { # START
    local tenths=$((($(now) - $1 + 50000) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

size() { # BYTES
    numfmt --to=iec-i --suffix=B --format=%.1f "$1" | sed 's/\([0-9]\)\([A-Z]\)/\1 \2/'
}
