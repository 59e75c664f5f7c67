#!/bin/sh
# What the machine that is cut off does at each boot: looks at what the last cut has left, and begins a load of containers
# that are made, entered, stopped and removed, until it is cut off. Two stay, on a network, one of them with a published port.
# After the last cut it only looks. $1 is how often it is cut off.
cd /carboy || exit 1
state=/carboy/state image=/carboy/image
carboy() { /carboy/carboy --root "$state/root" "$@"; }
fail() { echo "reset: $*"; exit 1; }

look() {
    carboy boot 2>&1 || fail "boot"
    said=$(carboy ps -a --format '{{.Names}} {{.State}}' 2>&1 >/tmp/listed) && test -z "$said" || fail "ps says $said"
    cat /tmp/listed
    for name in ever kept; do
        grep -q "^$name running" /tmp/listed || fail "$name does not run"
    done
    said=$(busybox wget -qO- http://127.0.0.1:8080) && test "$said" = whole || fail "the published port says $said"
    said=$(carboy exec kept wget -qO- http://ever) && test "$said" = whole || fail "by its name ever says $said"
    said=$(carboy system check 2>&1) && test -z "$said" || fail "system check says $said"
    for name in $(sed -n 's/^\(load[^ ]*\) .*/\1/p' /tmp/listed); do
        carboy inspect "$name" >/dev/null && carboy start "$name" && carboy rm -f "$name" || fail "$name is not whole"
    done >/tmp/started
    test "$(ls "$state/root/containers" | wc -l) $(ls "$state/root/names" | wc -l)" = "2 2" || fail "something is left"
    echo "reset: all is whole, $(wc -l </tmp/started) were taken up again and removed"
}

worker() {
    number=0
    while :; do
        number=$((number + 1))
        name="load-$1-$number"
        carboy run -d --name "$name" "$image" sleep 1000
        carboy exec "$name" true
        test $((number % 3)) = 0 || carboy stop -t 0 "$name"
        test $((number % 4)) = 0 || carboy rm -f "$name"
        carboy run --rm "$image" true
        echo "load: $1 $number"
    done >/dev/console 2>&1
}

if [ -e "$state/cuts" ]; then
    look
else
    mkdir -p "$state" "$image/bin" "$image/proc" "$image/sys" "$image/dev"
    cp /bin/busybox "$image/bin/"
    for applet in sh true sleep httpd wget; do ln -s busybox "$image/bin/$applet"; done
    mkdir "$image/www"; echo whole >"$image/www/index.html"
    carboy network create shop || fail "network create"
    carboy run -d --restart always --name ever --network shop -p 8080:80 "$image" httpd -f -h /www || fail "run"
    carboy run -d --restart unless-stopped --name kept --network shop "$image" sleep 100000 || fail "run"
    echo 0 >"$state/cuts"
fi
cuts=$(cat "$state/cuts")
test "$cuts" -lt "$1" || exit 0
echo $((cuts + 1)) >"$state/cuts"
sync
for one in 1 2 3; do worker $one & done
# What is on the disk is another moment's each time.
while :; do sleep 0.7; sync; done
