# Boots systemd as process 1 of namespaces of its own. $0: the directory of its units; $1: the cgroup that becomes its
# tree; $2: the checkout.
#
# Nothing of the machine is written: /etc and /usr are layers, /run, /tmp, /var and /dev are the system's own. Only the
# units of $0/units exist, so that nothing else of a boot is done. The checkout is seen also where what stood around it
# is hidden.
set -e
echo $$ > "$1/cgroup.procs"
exec unshare --fork --kill-child --pid --mount --net --cgroup --uts --ipc sh -ec '
    mount --make-rprivate /
    mount -t proc proc /proc
    exec 9< "$1"
    for own in run tmp var; do mount -t tmpfs tmpfs /$own; done
    if ! test -e "$1"; then mkdir -p "$1"; mount --no-canonicalize --bind /proc/self/fd/9 "$1"; fi
    exec 9<&-
    mkdir -p /run/lock /run/generators /var/lib /var/tmp
    for layer in etc usr; do
        mkdir -p /run/layers/$layer/upper /run/layers/$layer/work
        mount -t overlay overlay -o "lowerdir=/$layer,upperdir=/run/layers/$layer/upper,workdir=/run/layers/$layer/work" /$layer
    done
    mount -t tmpfs tmpfs /run/lock
    mkdir /run/lock/dev
    mount -t tmpfs -o mode=755 tmpfs /run/lock/dev
    for node in null zero full random urandom tty kmsg; do cp -a /dev/$node /run/lock/dev/; done
    mkdir /run/lock/dev/shm /run/lock/dev/pts
    mount -t devpts devpts /run/lock/dev/pts
    ln -s pts/ptmx /run/lock/dev/ptmx
    ln -s /proc/self/fd /run/lock/dev/fd
    mount --move /run/lock/dev /dev
    umount -R /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mkdir /sys/fs/cgroup/users
    ip link set lo up
    exec env -i container=lab PATH=/usr/sbin:/usr/bin SYSTEMD_UNIT_PATH="$0/units" \
        SYSTEMD_GENERATOR_PATH=/run/generators \
        /lib/systemd/systemd --system --unit=lab.target --log-target=null --show-status=no
' "$0" "$2"
