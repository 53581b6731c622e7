# shellcheck shell=bash
# Sourced by scripts whose tests are functions: runs them one after the other, and prints a line for each as libtest does, for tests/run.sh to count.
: "${private:?}" # a folder of the script's own

# What a test says is shown if it fails, and the skips among it always. A function `after_case` is told how each has ended. Fails if one has.
run_cases() { # TEST...
    local test result bad=0
    for test; do
        result=ok
        if "$test" >"$private/output" 2>&1; then
            grep '^SKIPPED: ' "$private/output"
        else
            cat "$private/output" >&2
            result=FAILED bad=1
        fi
        ! declare -F after_case >/dev/null || after_case "$result"
        echo "test $test ... $result"
    done
    return "$bad"
}
