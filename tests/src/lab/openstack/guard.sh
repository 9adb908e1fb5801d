# Takes a world away once the test's process is gone, however it ended: standard input closes then. $0 is the world's
# cgroup, $1 its name; what follows are directories.
trap '' INT TERM HUP
cat > /dev/null
world=$1
shift
if [ -d "$0" ]; then
    tries=0
    while grep -q 'populated 1' "$0/cgroup.events" && [ "$tries" -lt 500 ]; do
        echo 1 > "$0/cgroup.kill"
        tries=$((tries + 1))
        sleep 0.01
    done
    find "$0" -depth -type d -exec rmdir {} \;
fi
for namespace in /run/netns/"$world"-*; do
    [ -e "$namespace" ] || continue
    name=${namespace##*/}
    ip -n "$name" link delete wan0
    ip netns delete "$name"
done
rm -rf -- "$@"
