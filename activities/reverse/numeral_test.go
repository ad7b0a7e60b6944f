package reverse

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

var anyDigits = regexp.MustCompile(`\d+`)

var below20 = strings.Split("zero,one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve,thirteen,fourteen,fifteen,sixteen,seventeen,eighteen,nineteen", ",")

// inEnglish spells 0 to 999,999.
func inEnglish(n int, and string) string {
	join := func(head string, scale, rest int, and string) string {
		if rest == 0 {
			return head
		}
		if rest >= 100 {
			and = " "
		}
		return head + and + inEnglish(rest, " ")
	}
	switch {
	case n < 20:
		return below20[n]
	case n < 100:
		return join(strings.Split("twenty,thirty,forty,fifty,sixty,seventy,eighty,ninety", ",")[n/10-2], 10, n%10, "-")
	case n < 1000:
		return join(below20[n/100]+" hundred", 100, n%100, and)
	}
	if rest := n % 1000; rest >= 100 {
		return inEnglish(n/1000, and) + " thousand " + inEnglish(rest, and)
	}
	return join(inEnglish(n/1000, and)+" thousand", 1000, n%1000, and)
}

// inChinese spells 0 to 99,999.
func inChinese(n int) string {
	if n == 0 {
		return "零"
	}
	var out strings.Builder
	gap := false
	for _, place := range []struct {
		name  string
		scale int
	}{{"万", 10000}, {"千", 1000}, {"百", 100}, {"十", 10}, {"", 1}} {
		digit := n / place.scale % 10
		if digit == 0 {
			gap = true
			continue
		}
		if gap && out.Len() > 0 {
			out.WriteString("零")
		}
		gap = false
		out.WriteString(string([]rune("零一二三四五六七八九")[digit]) + place.name)
	}
	if 10 <= n && n < 20 {
		return strings.TrimPrefix(out.String(), "一")
	}
	return out.String()
}

func TestEveryNumberInWordsIsReadAsItself(t *testing.T) {
	read := 0
	check := func(text string, n int) {
		t.Helper()
		if digits, ok := inDigits(folded(text)); !ok || anyDigits.FindString(digits) != fmt.Sprint(n) {
			t.Errorf("%q is read as %q, certain %v", text, digits, ok)
		}
		if read++; read%50 != 0 && n > 200 {
			return
		}
		if a := readAmount(text); !a.clear || !a.sure || !a.met.equal(counts{{n, n}}) {
			t.Errorf("%q is read as %v, clear %v, sure %v", text, a.met, a.clear, a.sure)
		}
	}
	for n := range 20001 {
		for _, and := range []string{" ", " and "} {
			check(fmt.Sprintf("Use exactly %s examples.", inEnglish(n, and)), n)
		}
		chinese := inChinese(n)
		check(fmt.Sprintf("恰好使用%s个例子。", chinese), n)
		for _, two := range []string{"二千", "二百", "二万"} {
			chinese = strings.ReplaceAll(chinese, two, "两"+strings.TrimPrefix(two, "二"))
		}
		if n == 2 {
			chinese = "两"
		}
		check(fmt.Sprintf("恰好使用%s个例子。", chinese), n)
		if n > 0 && n < 2000 {
			check(fmt.Sprintf("恰好使用%d万字。", n), n*10000)
			check(fmt.Sprintf("Use exactly %d thousand words.", n), n*1000)
			check(fmt.Sprintf("Use exactly %dk words.", n), n*1000)
		}
		if n > 0 && n < 10 {
			check(fmt.Sprintf("恰好使用%d千字。", n), n*1000)
			check(fmt.Sprintf("恰好使用%d 百字。", n), n*100)
			check(fmt.Sprintf("Use exactly %s dozen words.", inEnglish(n, " ")), n*12)
		}
	}
	check("Use exactly a hundred words.", 100)
	check("Use exactly a thousand and one words.", 1001)
	check("Use exactly twelve hundred words.", 1200)
	check("恰好使用１２００字。", 1200)
}

// canonical drops what one number may be spelled with or without.
func canonical(spelled string) string {
	spelled = strings.NewReplacer("零", "", "〇", "", "两", "二", "-", " ", " and ", " ").Replace(spelled)
	spelled = strings.NewReplacer("1", "一", "2", "二", "3", "三").Replace(spelled)
	if strings.HasPrefix(spelled, "十") {
		spelled = "一" + spelled
	}
	if strings.HasPrefix(spelled, "a ") {
		spelled = "one " + strings.TrimPrefix(spelled, "a ")
	}
	return spelled
}

func TestAStringOfNumeralsIsReadAsTheNumberItSpellsOrNotAtAll(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	draw := func(from []string, by string) string {
		out := make([]string, 1+random.IntN(6))
		for i := range out {
			out[i] = from[random.IntN(len(from))]
		}
		return strings.Join(out, by)
	}
	read := 0
	for range 60000 {
		s := draw(strings.Split("零一二两三123十百千万", ""), "")
		if n, ok := chineseNumber(s); ok && strings.ContainsAny(s, "一二两三十百千万") && n < 100000 {
			if canonical(s) != canonical(inChinese(n)) {
				t.Errorf("%q is read as %d", s, n)
			}
			read++
		}
		s = draw(strings.Fields("a zero one two twelve thirty forty hundred thousand and"), " ")
		if found := english.FindString(s); found == s {
			if n, ok := englishNumber(s); ok && n < 1000000 && canonical(s) != canonical(inEnglish(n, " ")) {
				// twelve hundred is 1,200, too
				if hundreds := strings.TrimSuffix(inEnglish(max(n/100, 1), " ")+" hundred "+inEnglish(n%100, " "), " zero"); canonical(s) != canonical(hundreds) {
					t.Errorf("%q is read as %d", s, n)
				}
			} else if ok {
				read++
			}
		}
	}
	if read < 1000 {
		t.Errorf("only %d strings were read", read)
	}
}

func TestANumberThatIsNotCertainIsNotRead(t *testing.T) {
	for _, number := range []string{"一百二", "两千五", "三万二", "几十", "数百", "三五", "一千多", "2千多", "半", "1.5万", "1亿", "百", "1，0000", "好几百"} {
		for _, text := range []string{"至少写" + number + "个字。", "不得超过" + number + "字。"} {
			if a := readAmount(text); a.clear {
				t.Errorf("%q is read as %v", text, a.counts)
			}
		}
	}
	for _, number := range []string{"hundreds of", "dozens of", "half a dozen", "several hundred", "2.5 thousand", "two and a half", "three thirty", "a hundred-word", "1 000", "two billion",
		"2m", "one hundred thousand thousand", "two thirds of the"} {
		if a := readAmount("Write at least " + number + " words."); a.clear {
			t.Errorf("%q is read as %v", number, a.counts)
		}
	}
}
