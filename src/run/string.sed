# Turns a text into a C string literal, a line each.
/^# \|^$/d
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n"/
