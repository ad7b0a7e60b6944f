package rules

import "testing"

func TestCountsGoByTheLanguageOfTheResponse(t *testing.T) {
	for _, c := range []struct {
		text             string
		words, sentences int
	}{
		{"これは日本語の文です。とても短いです！", 17, 2},
		{"我们今天去公园散步。天气很好 Python！", 14, 2},
		{"यह हिन्दी का एक वाक्य है। यह दूसरा वाक्य है। धन्यवाद", 0, 3},
		{"วันนี้อากาศดีมาก\nเราจะไปเดินเล่นในสวน", 11, 2},
		{"This is written in English. It has two sentences.", 9, 2},
	} {
		if got := routedSentences(c.text); got != c.sentences {
			t.Errorf("%q has %d sentences, want %d (language %s)", c.text, got, c.sentences, language(c.text))
		}
		// Hindi vowel signs split words in the official checker, too.
		if got := routedWords(c.text); c.words > 0 && got != c.words {
			t.Errorf("%q has %d words, want %d (language %s)", c.text, got, c.words, language(c.text))
		}
	}
}

func TestEmojiAreCountedByTheirSequences(t *testing.T) {
	for text, want := range map[string]int{
		"a😀b": 1, "👩‍👧": 1, "👍🏽👍": 2, "😀\u200d😀": 2, "©": 1, "1️⃣ 1": 1, "❤️": 1, "\u200d": 0, "🇫🇷🇫": 1, "🏽\u200d😀": 2,
	} {
		if _, n := withoutEmoji([]rune(text)); n != want {
			t.Errorf("%q has %d emoji, want %d", text, n, want)
		}
	}
}
