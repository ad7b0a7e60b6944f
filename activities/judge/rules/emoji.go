package rules

import "slices"

// countEmoji counts emoji as a reader sees them: a flag, a family joined by
// zero-width joiners, a face with a skin tone and a keycap are one each. Signs
// that are shown as text unless a variation selector follows (©, ™, ✔, arrows)
// count only with that selector.
func countEmoji(s string) int {
	const (
		joiner   = 0x200d
		selector = 0xfe0f
		keycap   = 0x20e3
	)
	n := 0
	var before rune  // the rune before
	joined := false  // a joiner glues the next emoji to the last one
	flag := false    // one half of a flag was counted
	counted := false // the rune before is a counted emoji
	for _, r := range s {
		switch {
		case r == joiner:
			joined = counted
		case r == selector:
			if !counted && mayBeEmoji(before) {
				if !joined {
					n++
				}
				counted, joined = true, false
			}
			// The sign before it stays the one that a keycap encloses.
			continue
		case r == keycap:
			if !counted && (before == '#' || before == '*' || '0' <= before && before <= '9') {
				n++
				counted = true
			}
		case 0x1f3fb <= r && r <= 0x1f3ff && counted, 0xe0020 <= r && r <= 0xe007f && counted:
			// A skin tone or a tag belongs to the emoji before it.
		case 0x1f1e6 <= r && r <= 0x1f1ff:
			if flag {
				flag = false
			} else {
				n++
				flag = true
			}
			counted, joined, before = true, false, r
			continue
		case isEmoji(r):
			if !joined {
				n++
			}
			counted, joined = true, false
		case joined && mayBeEmoji(r):
			joined = false
		default:
			counted, joined = false, false
		}
		flag = false
		before = r
	}
	return n
}

// alwaysEmoji are the runes outside the pictograph blocks that are shown as
// emoji without a variation selector (Unicode's Emoji_Presentation), and the
// hearts and faces that people use so.
var alwaysEmoji = []rune{
	0x231a, 0x231b, 0x23e9, 0x23ea, 0x23eb, 0x23ec, 0x23f0, 0x23f3, 0x25fd, 0x25fe, 0x2614, 0x2615, 0x2639, 0x263a,
	0x2648, 0x2649, 0x264a, 0x264b, 0x264c, 0x264d, 0x264e, 0x264f, 0x2650, 0x2651, 0x2652, 0x2653, 0x267f, 0x2693,
	0x26a1, 0x26aa, 0x26ab, 0x26bd, 0x26be, 0x26c4, 0x26c5, 0x26ce, 0x26d4, 0x26ea, 0x26f2, 0x26f3, 0x26f5, 0x26fa,
	0x26fd, 0x2705, 0x270a, 0x270b, 0x2728, 0x274c, 0x274e, 0x2753, 0x2754, 0x2755, 0x2757, 0x2764, 0x2795, 0x2796,
	0x2797, 0x27b0, 0x27bf, 0x2b1b, 0x2b1c, 0x2b50, 0x2b55, 0x1f004, 0x1f0cf, 0x1f18e, 0x1f191, 0x1f192, 0x1f193,
	0x1f194, 0x1f195, 0x1f196, 0x1f197, 0x1f198, 0x1f199, 0x1f19a, 0x1f201, 0x1f21a, 0x1f22f, 0x1f232, 0x1f233,
	0x1f234, 0x1f235, 0x1f236, 0x1f238, 0x1f239, 0x1f23a, 0x1f250, 0x1f251,
}

func isEmoji(r rune) bool {
	if r < 0x231a {
		return false
	}
	switch {
	case r >= 0x1f300 && r <= 0x1f64f, r >= 0x1f680 && r <= 0x1f6ff, r >= 0x1f7e0 && r <= 0x1f7f0,
		r >= 0x1f90c && r <= 0x1f9ff, r >= 0x1fa70 && r <= 0x1faff:
		return true
	}
	_, ok := slices.BinarySearch(alwaysEmoji, r)
	return ok
}

// mayBeEmoji reports text signs that a variation selector turns into emoji.
func mayBeEmoji(r rune) bool {
	switch {
	case r == 0xa9, r == 0xae, r == 0x203c, r == 0x2049, r == 0x2122, r == 0x2139, r == 0x3030, r == 0x303d,
		r == 0x3297, r == 0x3299:
		return true
	}
	return r >= 0x2190 && r <= 0x2bff || r >= 0x1f000 && r <= 0x1f2ff
}
