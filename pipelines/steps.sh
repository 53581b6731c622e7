# shellcheck shell=bash
# Sourced by what sets things up: steps that show their progress, and Debian packages. The script that sources it says who speaks (`me`), where the
# checkout is (`root`), where its own things are (`work`), and where the output of commands goes (`log`).
: "${me:?}" "${root:?}" "${work:?}" "${log:?}"

say() { printf '%s: %s\n' "$me" "$*"; }
die() { printf '%s: %s\n' "$me" "$*" >&2; exit 1; }

running='' # the step's process, in a process group of its own
stop_what_runs() {
    [ -n "$running" ] || return 0
    kill -TERM -- "-$running" 2>/dev/null || true
    wait "$running" 2>/dev/null || true
    running=''
}
trap stop_what_runs EXIT
trap 'say "interrupted; run it again to go on"; exit 130' INT TERM HUP

# Runs a command with its output in the log; says every few seconds how far it is, and shows the log's end when it fails.
step() {
    local label=$1 begun=$SECONDS shown=$SECONDS status=0
    shift
    say "$label ..."
    set -m
    "$@" >>"$log" 2>&1 </dev/null 9>&- &
    running=$!
    set +m
    while kill -0 "$running" 2>/dev/null; do
        sleep 0.2
        if ((SECONDS - shown >= 5)); then
            shown=$SECONDS
            say "$label: $((SECONDS - begun)) s $(tail -c 400 "$log" | tr '\r' '\n' | grep -oE '^\[[0-9]+/[0-9]+\]' | tail -1)"
        fi
    done
    wait "$running" || status=$?
    running=''
    if ((status)); then
        tail -25 "$log" >&2
        die "$label failed (the whole log: ${log#"$root/"}). If the network or a mirror was the reason, run this again later"
    fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# --- packages -------------------------------------------------------------------------------------------------------------

missing_packages() {
    local name
    for name; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || echo "$name"
    done
}

lists_are_read=no
read_package_lists() {
    [ $lists_are_read = no ] || return 0
    step "reading the package lists" as_root apt-get update
    lists_are_read=yes
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; then
        die "these packages are missing, and this user may not install them without a password. Run: sudo apt-get install ${missing[*]}"
    fi
    read_package_lists
    if [ -n "$(dpkg --audit)" ]; then
        step "finishing an interrupted installation" as_root env DEBIAN_FRONTEND=noninteractive dpkg --configure -a
    fi
    step "installing ${#missing[@]} packages (${missing[*]})" as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "${missing[@]}"
}

# --- packages of another suite --------------------------------------------------------------------------------------------

# A mirror of the distribution that this machine has packages from.
mirror_in_use() { # DISTRIBUTION
    # shellcheck disable=SC2016 # $(...) is apt's own notation
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' |
        awk -v origin="$1" 'tolower($2) == origin && $1 !~ /security/ && !found { found = $1 } END { print found }'
}

# Finds the `mirror`, and the `keyring` that its packages are signed with.
find_mirror() {
    local distribution
    # shellcheck source=/dev/null
    distribution=$(. /etc/os-release && echo "$ID")
    keyring=/usr/share/keyrings/$distribution-archive-keyring.gpg
    [ -f "$keyring" ] || die "no package archive is known for '$distribution': there is no $keyring"
    mirror=$(mirror_in_use "$distribution")
    # It is taken from the lists, which a fresh container does not have.
    [ -n "$mirror" ] || { read_package_lists; mirror=$(mirror_in_use "$distribution"); }
    [ -n "$mirror" ] || die "no $distribution mirror in this machine's apt sources; add one and run 'apt-get update'"
}

# Writes an apt configuration that knows only one suite, its sources (deb-src) or its packages (deb), and touches nothing of the machine's.
apt_for_suite() { # deb|deb-src SUITE
    find_mirror
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    echo "$1 [signed-by=$keyring] $mirror $2 main" >"$work/apt/sources.list"
    cat >"$work/apt/apt.conf" <<END
Dir::Etc::SourceList "$work/apt/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "$work/apt/lists";
Dir::Cache "$work/apt/cache";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Retries "3";
END
}
