# SPDX-License-Identifier: GPL-2.0-or-later
#
# Takes the rule, and prints a MARK(key, value, readers) for each property that
# it sets: lines of just ENV{KEY}="VALUE", after LABEL="baseimage_found".  The
# readers are what the comment above begins with, up to a colon.

/^LABEL="baseimage_found"/ { found = 1 }
/^LABEL="baseimage_end"/ { found = 0 }
found && /^ENV[{][A-Z0-9_]+[}]="[^"]+"$/ {
	colon = index(comment, ":")
	if (!colon) {
		print FILENAME ":" FNR ": the comment above does not begin with who reads this, and a colon" >"/dev/stderr"
		failed = 1
	}
	split($0, part, /[{}"]/)
	printf "MARK(\"%s\", \"%s\", \"%s\")\n", part[2], part[4], substr(comment, 1, colon - 1)
	marks++
}
{ comment = /^# / ? comment (comment ? " " : "") substr($0, 3) : "" }
END { exit failed || !marks }
