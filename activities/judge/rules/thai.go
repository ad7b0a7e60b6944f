package rules

func thaiWords(s string) int { return runsOfWordRunes(s) }

func thaiSentences(s string) int { return countPunkt(s) }
