package rules

// isJSON reports whether Python's json.loads accepts s: unlike Go it takes NaN
// and infinities, lone surrogates, and refuses whole numbers of more than 4,300
// digits. It keeps its own stack, so that depth costs no recursion.
func isJSON(s string) bool {
	j := jsonText{s: s}
	j.blanks()
	// object: what is open, true for an object.
	var open []bool
	for {
		// A value stands here.
		switch {
		case j.take("{"):
			j.blanks()
			if j.take("}") {
				break
			}
			open = append(open, true)
			if !j.key() {
				return false
			}
			continue
		case j.take("["):
			j.blanks()
			if j.take("]") {
				break
			}
			open = append(open, false)
			continue
		case !j.scalar():
			return false
		}
		// A value ended; close what ends with it.
		for {
			j.blanks()
			if len(open) == 0 {
				return j.at == len(j.s)
			}
			object := open[len(open)-1]
			if j.take(",") {
				j.blanks()
				if object && !j.key() {
					return false
				}
				break
			}
			if object && j.take("}") || !object && j.take("]") {
				open = open[:len(open)-1]
				continue
			}
			return false
		}
	}
}

type jsonText struct {
	s  string
	at int
}

func (j *jsonText) blanks() {
	for j.at < len(j.s) && (j.s[j.at] == ' ' || j.s[j.at] == '\t' || j.s[j.at] == '\n' || j.s[j.at] == '\r') {
		j.at++
	}
}

func (j *jsonText) take(word string) bool {
	if len(j.s)-j.at >= len(word) && j.s[j.at:j.at+len(word)] == word {
		j.at += len(word)
		return true
	}
	return false
}

// key reads a name, its colon and the blanks after it.
func (j *jsonText) key() bool {
	if !j.text() {
		return false
	}
	j.blanks()
	if !j.take(":") {
		return false
	}
	j.blanks()
	return true
}

func (j *jsonText) scalar() bool {
	for _, word := range []string{"null", "true", "false", "NaN", "Infinity", "-Infinity"} {
		if j.take(word) {
			return true
		}
	}
	return j.at < len(j.s) && (j.s[j.at] == '"' && j.text() || j.number())
}

func (j *jsonText) text() bool {
	if !j.take(`"`) {
		return false
	}
	for j.at < len(j.s) {
		c := j.s[j.at]
		j.at++
		switch {
		case c == '"':
			return true
		case c < 0x20:
			return false
		case c == '\\':
			if j.at == len(j.s) {
				return false
			}
			e := j.s[j.at]
			j.at++
			switch e {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					if j.at == len(j.s) || !isHex(j.s[j.at]) {
						return false
					}
					j.at++
				}
			default:
				return false
			}
		}
	}
	return false
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (j *jsonText) digits() int {
	from := j.at
	for j.at < len(j.s) && '0' <= j.s[j.at] && j.s[j.at] <= '9' {
		j.at++
	}
	return j.at - from
}

// number takes the longest number, as Python does: "1.x" is 1 and then ".x".
func (j *jsonText) number() bool {
	from := j.at
	j.take("-")
	first := j.at
	n := j.digits()
	if n == 0 {
		j.at = from
		return false
	}
	if j.s[first] == '0' && n > 1 {
		// 01 is 0 and then 1, which no value may follow.
		j.at, n = first+1, 1
	}
	float := false
	if mark := j.at; j.take(".") {
		if j.digits() == 0 {
			j.at = mark
		} else {
			float = true
		}
	}
	if mark := j.at; j.take("e") || j.take("E") {
		if !j.take("+") {
			j.take("-")
		}
		if j.digits() == 0 {
			j.at = mark
		} else {
			float = true
		}
	}
	const most = 4300 // Python's limit on converting text to int
	return float || n <= most
}
