# sh -c SCRIPT katib FOLDER LOG SECONDS WORD...: runs WORD... for the collector beside it.
# FOLDER is shared with the collector. LOG also gets what is printed ("" for no file). SECONDS are given to a program
# that is stopped early ("" where nothing stops it).
katib_c=$1 katib_l=$2 katib_s=$3
shift 3
katib_p= katib_q= katib_k= katib_w= katib_r=
katib_on() {
  katib_k=1
  if [ -n "$katib_p" ]; then kill -s "$1" "$katib_p" 2>/dev/null; else katib_q=$1; fi
}
for katib_n in mkfifo ${katib_l:+tee}; do
  command -v "$katib_n" >/dev/null || { echo "katib: this image has no $katib_n, and metrics cannot be collected" >&2; exit 127; }
done
katib_i=TERM
if env --default-signal=INT true 2>/dev/null; then katib_i=INT; fi
trap 'katib_on TERM' TERM
trap 'katib_on HUP' HUP
trap 'katib_on USR1' USR1
trap 'katib_on USR2' USR2
trap 'katib_on "$katib_i"' INT
if [ "$katib_i" = INT ]; then trap 'katib_on QUIT' QUIT; else trap 'katib_on TERM' QUIT; fi
katib_u=$(umask)
umask 0
[ -d "$katib_c" ] || { echo "katib: there is no folder $katib_c" >&2; exit 126; }
rm -f "$katib_c/exit" "$katib_c/early-stopped" "$katib_c/alive" "$katib_c/stop" "$katib_c/out"
mkfifo "$katib_c/alive" || exit 126
exec 8<&0 9<>"$katib_c/alive"
: >"$katib_c/started"
if [ -n "$katib_l" ]; then
  : >>"$katib_l" && mkfifo "$katib_c/out" || exit 126
  (trap '' TERM HUP INT QUIT USR1 USR2; exec tee -a "$katib_l" <"$katib_c/out" 8<&- 9>&-) &
  katib_t=$!
  exec 7>"$katib_c/out"
fi
if [ -n "$katib_s" ]; then mkfifo "$katib_c/stop" || exit 126; fi
umask "$katib_u"
# In the background a program ignores SIGINT and SIGQUIT; where env can, it is given them back.
if [ "$katib_i" = INT ]; then
  case $1 in *=*) ;; *) set -- env --default-signal=INT,QUIT "$@" ;; esac
fi
if [ -n "$katib_s" ] && command -v setsid >/dev/null; then set -- setsid "$@"; fi
if [ -n "$katib_l" ]; then
  (exec "$@") <&8 >&7 2>&7 7>&- 8<&- 9>&- &
else
  (exec "$@") <&8 8<&- 9>&- &
fi
katib_p=$!
if [ -n "$katib_q" ]; then kill -s "$katib_q" "$katib_p"; fi
if [ -n "$katib_l" ]; then exec 7>&-; fi
if [ -n "$katib_s" ]; then
  (
    read -r katib_n <"$katib_c/stop"
    : >"$katib_c/early-stopped"
    kill -TERM "-$katib_p" || kill -TERM "$katib_p"
    katib_n=
    trap 'kill "$katib_n"; exit' TERM
    sleep "$katib_s" &
    katib_n=$!
    wait "$katib_n"
    kill -KILL "-$katib_p" || kill -KILL "$katib_p"
  ) >/dev/null 2>&1 8<&- 9>&- &
  katib_w=$!
fi
wait "$katib_p" 2>/dev/null
katib_r=$?
# A wait that a signal has cut short is made again; 127 is the answer where there is nothing left to wait for.
while [ -n "$katib_k" ]; do
  katib_k=
  wait "$katib_p" 2>/dev/null
  katib_n=$?
  if [ "$katib_n" != 127 ]; then katib_r=$katib_n; fi
done
if [ -n "$katib_w" ]; then kill "$katib_w" 2>/dev/null; fi
if [ -n "$katib_l" ]; then
  # What was printed is in the pipe; a process that was left behind may keep it open.
  (
    katib_n=
    trap 'kill "$katib_n"; exit' TERM
    sleep 2 &
    katib_n=$!
    wait "$katib_n"
    kill -KILL "$katib_t"
  ) >/dev/null 2>&1 8<&- 9>&- &
  katib_w=$!
  wait "$katib_t" 2>/dev/null
  while [ -n "$katib_k" ]; do katib_k=; wait "$katib_t" 2>/dev/null; done
  kill "$katib_w" 2>/dev/null
fi
if [ -e "$katib_c/early-stopped" ]; then
  echo "Training Container was Early Stopped"
  katib_r=0
fi
umask 022
echo "$katib_r /main" >"$katib_c/exit"
exit "$katib_r"
