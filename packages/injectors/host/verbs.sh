# What a program does with its words: the first is the verb, the rest is what it takes. The last part of every program, so
# that all parts before it only define and can be read by themselves.
# shellcheck shell=sh

# --- the verb ---

quietly= list= me= text= owned= gone= inside= here= start_by= root_sum= biter= shared= attempt= looked_at= looked_through=
verb=$1
shift
case $verb in
  hello | session | preflight | arm | tighten | lift | inspect | sweep | keep | revive | perform) "$verb" "$@" ;;
  *) answer refused "there is no verb $verb" ;;
esac
