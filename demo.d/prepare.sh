# shellcheck shell=bash
# What must be there before the story starts: PostgreSQL and an archiver from the distribution, and our two programs.

# The first line printed: which archiver, why, and how to get the other.
choose_archiver() { # walg | barman | auto
    local walg=
    if [ -n "${WALG:-}" ]; then
        walg=$(command -v "$WALG" || true)
        [ -n "$walg" ] || { echo "demo: WALG names $WALG, and there is no such program" >&2; exit 2; }
        walg=$(realpath "$walg")
    else
        walg=$(command -v wal-g || true)
    fi
    WALG_BINARY=$walg
    case $1 in
        walg)
            [ -n "$walg" ] || { echo "demo: --archiver walg, and neither \$WALG nor PATH has it: put its release binary on PATH, or WALG=/path/to/wal-g ./demo" >&2; exit 2; }
            ARCHIVER=walg
            echo "Archiver: wal-g ($walg), because you asked for it. The other one: ./demo --archiver barman"
            ;;
        barman)
            ARCHIVER=barman
            echo "Archiver: barman-cloud, because you asked for it. The other one: put wal-g's release binary on PATH, then ./demo --archiver walg"
            ;;
        auto)
            if [ -n "$walg" ]; then
                ARCHIVER=walg
                echo "Archiver: wal-g, found at $walg. The other one: ./demo --archiver barman"
            else
                ARCHIVER=barman
                echo "Archiver: barman-cloud, because neither \$WALG nor PATH has wal-g. The other one: put wal-g's release binary on PATH, or WALG=/path/to/wal-g ./demo"
            fi
            ;;
    esac
}

# Where the distribution keeps initdb and pg_ctl; empty if there is no PostgreSQL server.
postgres_bin() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    if [ ! -x "$found/initdb" ] && command -v pg_ctl >/dev/null; then
        found=$(dirname "$(realpath "$(command -v pg_ctl)")")
    fi
    [ -x "$found/initdb" ] && printf '%s' "$found"
}

missing() {
    local wanted=()
    [ -n "$(postgres_bin)" ] || wanted+=(postgresql)
    [ "$ARCHIVER" = walg ] || command -v barman-cloud-wal-archive >/dev/null || wanted+=(barman-cli-cloud)
    command -v curl >/dev/null || wanted+=(curl)
    command -v rsync >/dev/null || wanted+=(rsync)
    command -v cc >/dev/null || wanted+=(gcc)
    [ "${#wanted[@]}" = 0 ] || printf '%s\n' "${wanted[@]}"
}

install_packages() { # PACKAGE… : quietly, into log/install.log
    local sudo=()
    [ "$(id -u)" = 0 ] || sudo=(sudo -n)
    if command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        "${sudo[@]}" apt-get update -q
        # Debian's package would make and start a cluster of its own, which nobody asked for.
        case " $* " in *" postgresql "*)
            "${sudo[@]}" apt-get install -y -q --no-install-recommends postgresql-common
            "${sudo[@]}" mkdir -p /etc/postgresql-common/createcluster.d
            echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.d/kheeper-demo.conf
            ;;
        esac
        "${sudo[@]}" apt-get install -y -q --no-install-recommends "$@"
        "${sudo[@]}" rm -f /etc/postgresql-common/createcluster.d/kheeper-demo.conf
    elif command -v dnf >/dev/null; then
        "${sudo[@]}" dnf install -y -q "${@/#postgresql/postgresql-server}"
    else
        echo "neither apt-get nor dnf is here; install these yourself: $*"
        return 1
    fi
}

# Runs the installation and the build side by side and says every few seconds how far they are.
install_and_build() {
    local wanted start
    start=$(now)
    mapfile -t wanted < <(missing)
    command -v cargo >/dev/null || fail "there is no cargo: install Rust from https://rustup.rs, then run ./demo again"

    if [ "${#wanted[@]}" -gt 0 ]; then
        typed "$(id -un)" apt-get install "${wanted[@]}"
        install_packages "${wanted[@]}" >"$RUN/log/install.log" 2>&1 </dev/null &
        INSTALL=$!
    else
        note "Installed already: $("$(postgres_bin)/postgres" --version), and the archiver."
        INSTALL=
    fi
    [ -n "${KHEEPER_DEMO_PROGRAMS:-}" ] || typed "$(id -un)" cargo build --release --locked -p kheeper -p kheeper-server
    # A C compiler that is being installed has to be there before the build asks for it.
    case " ${wanted[*]:-} " in *" gcc "*) wait_for_install "$start" ;; esac
    build >"$RUN/log/build.log" 2>&1 </dev/null &
    BUILD=$!

    local total compiled said=0
    total=$(grep -c '^name = ' Cargo.lock)
    while kill -0 "$BUILD" 2>/dev/null || { [ -n "$INSTALL" ] && kill -0 "$INSTALL" 2>/dev/null; }; do
        if [ $(($(now) - said)) -gt "$PROGRESS_MICROS" ]; then
            said=$(now)
            compiled=$(grep -c 'Compiling' "$RUN/log/build.log" || true)
            progress "$(seconds_since "$start") s: $compiled of at most $total crates compiled$(install_state)"
        fi
        sleep 0.2
    done
    wait "$BUILD" || fail "cargo build failed"
    wait_for_install "$start"
    progress_end
    mv "$RUN/log/build.log" "$RUN/log/build.txt" # `fail` need not show it any more
    BUILD_SECONDS=$(seconds_since "$start")
    note "Everything is there after $BUILD_SECONDS s. From here on it is the demo's own time."
}

# Becomes cargo. ./test has built the programs already, and says where.
build() {
    if [ -n "${KHEEPER_DEMO_PROGRAMS:-}" ]; then exit; fi
    exec cargo build --release --locked -p kheeper -p kheeper-server --message-format short
}

wait_for_install() { # START
    [ -n "$INSTALL" ] || return 0
    wait "$INSTALL" || fail "the installation failed: its log is above"
    INSTALL=
    mv "$RUN/log/install.log" "$RUN/log/install.txt"
    progress "$(seconds_since "$1") s: packages installed"
}

install_state() {
    [ -n "$INSTALL" ] || return 0
    if kill -0 "$INSTALL" 2>/dev/null; then
        printf ' · %s' "$(tail -n 1 "$RUN/log/install.log" | tr -d '\r' | cut -c 1-50)"
    else
        printf ' · packages installed'
    fi
}

# One line that is rewritten on a terminal, and a line now and then elsewhere.
if [ -t 1 ]; then
    PROGRESS_MICROS=500000
    progress() { printf '\r\e[K   %s' "$*"; }
    progress_end() { printf '\r\e[K'; }
else
    PROGRESS_MICROS=15000000
    progress() { printf '   %s\n' "$*"; }
    progress_end() { :; }
fi

# PostgreSQL refuses to run as root, and may not be able to read a checkout in root's home: the programs are installed
# where both can.
install_programs() {
    local built=${KHEEPER_DEMO_PROGRAMS:-}
    [ -n "$built" ] || built=$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
    typed "$(id -un)" install "$built/kheeper" "$built/kheeper-server" "$RUN/bin"
    install -m 0755 "$built/kheeper" "$built/kheeper-server" "$RUN/bin/"
    if [ "$ARCHIVER" = walg ]; then
        install -m 0755 "$WALG_BINARY" "$RUN/bin/wal-g"
    fi
    PGBIN=$(postgres_bin) || fail "PostgreSQL's server programs are not there"
}

# Folders as four machines would have them. The database and the owner's workstation belong to somebody who is not root.
lay_out_machines() {
    if [ "$(id -u)" = 0 ]; then
        OWNER=postgres
        id postgres >/dev/null 2>&1 || fail "there is no user postgres"
    else
        OWNER=$(id -un)
    fi
    local machine
    for machine in server web-01 web-02 alice; do
        install -d -m 0755 "$RUN/$machine" "$RUN/$machine/kheeper"
        install -d -m 0700 -o "$OWNER" "$RUN/$machine/pg" "$RUN/$machine/pg/run" "$RUN/$machine/pg/data"
    done
    chown "$OWNER" "$RUN/alice" "$RUN/alice/kheeper"
}
