# What benches/shm_sink.md keeps of the rows that benches/shm_sink.rs prints: p50 of both sinks without a stopped reader, ours with some, and the targets.
BEGIN { FS = " *\\| *"; split("S H K A", formats, " ") }
$2 ~ /^[SHKA]$/ {
    key = $2 " " $3 " " $4 " " $5
    p50[key] = $6 + 0; p99[key] = $7 + 0; healthy[key] = $9; frozen[key] = $10; null_time[key] = $11; fresh[key] = $12; memory[key] = $13
    seen[key] = 1
}
function cell(values, format, readers, stopped, sink, key) {
    key = format " " readers " " stopped " " sink
    return (key in seen) ? (frozen[key] ~ /no/ || values[key] != 0 ? values[key] : "-") : "-"
}
function row(label, format, list, stopped_list, sink, n, r, s, i, text) {
    n = split(list, r, " "); split(stopped_list, s, " ")
    for (i = 1; i <= n; i++) text = text (i > 1 ? ", " : "") cell(p99, format, r[i], s[i], sink)
    return text
}
END {
    print "Push, p50 in µs, no reader stopped, stock / ours:\n\n| format | 0 | 1 | 4 | 8 | 16 | 32 |\n|---|---|---|---|---|---|---|"
    n = split("0 1 4 8 16 32", readers, " ")
    for (f = 1; f <= 4; f++) {
        line = "| " formats[f] " |"
        for (i = 1; i <= n; i++) line = line " " cell(p50, formats[f], readers[i], 0, "shmsink") " / " cell(p50, formats[f], readers[i], 0, "shmsink-rs") " |"
        print line
    }
    print "\nPush, p99 in µs, ours, so many of the readers stopped:\n\n| format | 4 readers: 0, 1, 2, 3 stopped | 32 readers: 0, 1, 16, 31, 32 stopped |\n|---|---|---|"
    for (f = 1; f <= 4; f++)
        print "| " formats[f] " | " row("", formats[f], "4 4 4 4", "0 1 2 3", "shmsink-rs") " | " row("", formats[f], "32 32 32 32 32", "0 1 16 31 32", "shmsink-rs") " |"
    for (key in seen) {
        split(key, part, " ")
        if (part[4] == "shmsink") { if (part[3] > 0) { stock_cells++; if (frozen[key] !~ /no/) stock_frozen++ } continue }
        if (frozen[key] !~ /no/) ours_frozen++
        if (part[3] > 0) {
            cells++
            base = p99[part[1] " " part[2] " 0 shmsink-rs"]
            if (base > 0 && p99[key] > 1.2 * base) over++
            if (fresh[key] + 0 > 0) {
                if (!(part[1] in least) || fresh[key] + 0 < least[part[1]]) least[part[1]] = fresh[key] + 0
                if (fresh[key] + 0 > most[part[1]]) most[part[1]] = fresh[key] + 0
            }
        }
        if (healthy[key] ~ /%/ && (!(part[1] in worst) || healthy[key] + 0 < worst[part[1]])) worst[part[1]] = healthy[key] + 0
        if (null_time[key] + 0 > slowest) slowest = null_time[key] + 0
        if (part[2] == 32) { if (part[3] == 0) bound[part[1]] = memory[key]; if (part[3] == 32) held[part[1]] = memory[key] }
    }
    print "\nT1: frozen: ours " ours_frozen + 0 " cells; stock " stock_frozen + 0 " of " stock_cells + 0 " with a stopped reader. p99 above 1.2 times that without stopped readers: " over + 0 " of " cells + 0 " cells."
    line = "Healthy readers got at least:"
    for (f = 1; f <= 4; f++) line = line " " formats[f] " " worst[formats[f]] " %"
    print line
    print "T6: NULL, ours, at most " slowest " ms"
    line = "T7: the newest frame after SIGCONT, in µs:"
    for (f = 1; f <= 4; f++) line = line " " formats[f] " " least[formats[f]] " to " most[formats[f]]
    print line
    line = "T9: shared memory with 32 readers, none and all stopped:"
    for (f = 1; f <= 4; f++) line = line " " formats[f] " " bound[formats[f]] " and " held[formats[f]] ";"
    print line
}
