# What a mechanism may define again after this file, and need not. The mechanism's own file comes next.
# shellcheck shell=sh

tools=
fits() { :; }
stand_ready() { :; }
stand_down() { :; }
keep_settings() { :; }
last_word() { :; }
settle_orphan() { :; }
joins() { false; }
stand_alone() { :; }
