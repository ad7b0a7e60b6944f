package profile

import (
	"bytes"
	"encoding/json"
	"testing"
)

func parseInstruction(t *testing.T, kind, args string) instruction {
	t.Helper()
	in := instruction{kind: kind}
	d := json.NewDecoder(bytes.NewReader([]byte(args)))
	d.UseNumber()
	if err := d.Decode(&in.args); err != nil {
		t.Fatal(err)
	}
	return in
}

const (
	wordsID      = "length_constraints:number_words"
	sentencesID  = "length_constraints:number_sentences"
	paragraphsID = "length_constraints:number_paragraphs"
	forbiddenID  = "keywords:forbidden_words"
	existenceID  = "keywords:existence"
	frequencyID  = "keywords:frequency"
	letterID     = "keywords:letter_frequency"
	bulletsID    = "detectable_format:number_bullet_lists"
	highlightsID = "detectable_format:number_highlighted_sections"
	sectionsID   = "detectable_format:multiple_sections"
	endID        = "startend:end_checker"
	capitalID    = "change_case:english_capital"
	lowercaseID  = "change_case:english_lowercase"
	capWordsID   = "change_case:capital_word_frequency"
	languageID   = "language:response_language"
	repeatID     = "combination:repeat_prompt"
	twoID        = "combination:two_responses"
	titleID      = "detectable_format:title"
	jsonID       = "detectable_format:json_format"
	quotationID  = "startend:quotation"
	postscriptID = "detectable_content:postscript"
	holdersID    = "detectable_content:number_placeholders"
	commaID      = "punctuation:no_comma"
	choiceID     = "detectable_format:constrained_response"
	atLeast80    = `{"relation":"at least","num_words":80}`
	under80      = `{"relation":"less than","num_words":80}`
)

func TestASentenceFitsOnlyTheConstraintThatItStatesAlone(t *testing.T) {
	for _, c := range []struct {
		kind, args, sentence string
		fits                 bool
	}{
		{wordsID, atLeast80, "Write at least 80 words.", true},
		{wordsID, atLeast80, "The answer should be 80+ words in length.", true},
		{wordsID, atLeast80, "Use more than 79 words.", true},
		{wordsID, atLeast80, "Use no fewer than eighty words.", true},
		{wordsID, atLeast80, "Write more than 80 words.", false},
		{wordsID, atLeast80, "Write about 80 words.", false},
		{wordsID, atLeast80, "Write 80 words.", false},
		{wordsID, atLeast80, "Write 80 to 100 words.", false},
		{wordsID, atLeast80, "Write at least 80 words in a cheerful tone.", false},
		{wordsID, atLeast80, "Write at least 80 words and 3 paragraphs.", false},
		{wordsID, atLeast80, "Do not write at least 80 words.", false},
		{wordsID, atLeast80, "Write at least 80 sentences.", false},
		{wordsID, under80, "Use 79 words or less.", true},
		{wordsID, under80, "Keep it under 80 words.", true},
		{wordsID, under80, "Do not use more than 79 words.", true},
		{wordsID, under80, "Use at most 80 words.", false},
		{wordsID, `{"relation":"at least","num_words":1200}`, "Write at least 1,200 words.", true},
		{sentencesID, `{"relation":"less than","num_sentences":5}`, "Answer in fewer than five sentences.", true},
		{sentencesID, `{"relation":"less than","num_sentences":5}`, "Answer in exactly 4 sentences.", false},
		{commaID, `{}`, "Please refrain from the use of any commas in your response.", true},
		{commaID, `{}`, "Use a comma in your response.", false},
		{commaID, `{}`, "Do not avoid commas.", false},
		{commaID, `{}`, "Use no commas and no full stops.", false},
		{forbiddenID, `{"forbidden_words":["tea","no"]}`, `Do not say "tea" or "no".`, true},
		{forbiddenID, `{"forbidden_words":["tea"]}`, `Do not say "tea" or "milk".`, false},
		{forbiddenID, `{"forbidden_words":["tea"]}`, `Say "tea".`, false},
		{forbiddenID, `{"forbidden_words":["tea"]}`, `Do not use words such as "tea", etc.`, false},
		{existenceID, `{"keywords":["tea","milk"]}`, "Include the keywords ['Tea', 'Milk'] in the response.", true},
		{existenceID, `{"keywords":["tea"]}`, "Do not include the word tea.", false},
		{existenceID, `{"keywords":["tea"]}`, "Include the word steam.", false},
		{existenceID, `{"keywords":["tea"]}`, "Include the word tea at least twice.", false},
		{frequencyID, `{"relation":"at least","keyword":"tea","frequency":3}`, "Mention the word 'tea' more than twice.", true},
		{frequencyID, `{"relation":"less than","keyword":"tea","frequency":2}`, "The word tea should appear at most once.", true},
		{frequencyID, `{"relation":"less than","keyword":"tea","frequency":2}`, "The word tea should appear only once.", false},
		{frequencyID, `{"relation":"less than","keyword":"tea","frequency":1}`, "Avoid mentioning tea.", true},
		{letterID, `{"let_relation":"less than","letter":"q","let_frequency":1}`, "Do not use the letter q.", true},
		{letterID, `{"let_relation":"less than","letter":"q","let_frequency":3}`, "Avoid using the letter q more than twice.", true},
		{letterID, `{"let_relation":"at least","letter":"q","let_frequency":3}`, "The letter p should appear at least 3 times.", false},
		{bulletsID, `{"num_bullets":3}`, "Use exactly 3 bullet points in markdown format, such as:\n* One\n* Two", true},
		{bulletsID, `{"num_bullets":3}`, "Use at least 3 bullet points.", false},
		{bulletsID, `{"num_bullets":2}`, "Use 3 bullet points.", false},
		{highlightsID, `{"num_highlights":2}`, "Highlight at least two sections with markdown, i.e. *highlighted section*.", true},
		{highlightsID, `{"num_highlights":2}`, "Highlight exactly 2 sections with markdown.", false},
		{highlightsID, `{"num_highlights":1}`, "Highlight some words, like *this*.", false},
		{sectionsID, `{"section_spliter":"Part","num_sections":2}`, "Write 2 sections, each marked with Part X.", true},
		{sectionsID, `{"section_spliter":"Part","num_sections":2}`, "Write 2 sections.", false},
		{sectionsID, `{"section_spliter":"Part","num_sections":2}`, "Write 2 sections, each marked with PART X.", false},
		{paragraphsID, `{"num_paragraphs":4}`, "There should be exactly four paragraphs separated by the markdown divider: ***.", true},
		{paragraphsID, `{"num_paragraphs":4}`, "There should be at least 4 paragraphs separated by ***.", false},
		{paragraphsID, `{"num_paragraphs":4}`, "There should be exactly 4 paragraphs.", false},
		{twoID, `{}`, "Give exactly two different responses, separated by 6 asterisk symbols: ******.", true},
		{twoID, `{}`, "Separate them with ******.", false},
		{twoID, `{}`, "Give two different responses, separated by ***.", false},
		{endID, `{"end_phrase":"Any more tea?"}`, `End your response with the exact phrase "Any more tea?"`, true},
		{endID, `{"end_phrase":"Any more tea?"}`, "Finish with this exact phrase: Any more tea?", true},
		{endID, `{"end_phrase":"Any more tea"}`, `End with "Any more tea for you".`, false},
		{endID, `{"end_phrase":"Any more"}`, "End with the phrase Any more tea.", false},
		{endID, `{"end_phrase":"Any more tea?"}`, `Start your response with "Any more tea?"`, false},
		{capitalID, `{}`, "Your entire response should be in English, and in all capital letters.", true},
		{capitalID, `{}`, "Use only capital letters, no lowercase letters allowed.", true},
		{capitalID, `{}`, "Include capital letters in your response.", false},
		{capitalID, `{}`, "Use all lowercase letters.", false},
		{lowercaseID, `{}`, "The response should be in English, and no capital letters are allowed.", true},
		{lowercaseID, `{}`, "Use all capital letters.", false},
		{capWordsID, `{"capital_relation":"less than","capital_frequency":4}`, "Words with all capital letters should appear less than 4 times.", true},
		{capWordsID, `{"capital_relation":"at least","capital_frequency":4}`, "Use all capital letters.", false},
		{languageID, `{"language":"hi"}`, "Your response should be entirely in Hindi, no other language is allowed.", true},
		{languageID, `{"language":"hi"}`, "Your response should be entirely in Hindi or Tamil.", false},
		{languageID, `{"language":"hi"}`, "Your response should be in Urdu.", false},
		{languageID, `{"language":"hi"}`, "Do not answer in Hindi.", false},
		{titleID, `{}`, "Add a title wrapped in double angular brackets, i.e. <<title>>.", true},
		{titleID, `{}`, "Put your answer in double angular brackets, such as <<answer>>.", false},
		{titleID, `{}`, "The response must be a table with a title wrapped in double angular brackets.", false},
		{jsonID, `{}`, "Wrap the entire output in JSON format using markdown ticks.", true},
		{jsonID, `{}`, "Do not answer in JSON format.", false},
		{quotationID, `{}`, "Wrap your entire response with double quotation marks.", true},
		{quotationID, `{}`, "Rhyme and wrap your entire response with double quotation marks.", false},
		{postscriptID, `{"postscript_marker":"P.S."}`, "At the end, add a postscript starting with P.S.", true},
		{postscriptID, `{"postscript_marker":"P.P.S"}`, "At the end, add a postscript starting with P.S.", false},
		{postscriptID, `{"postscript_marker":"P.S."}`, "At the end, add a postscript starting with P.P.S.", false},
		{holdersID, `{"num_placeholders":5}`, "Use at least five placeholders in square brackets, such as [name].", true},
		{holdersID, `{"num_placeholders":5}`, "Use at most five placeholders in square brackets.", false},
		{choiceID, `{}`, `Answer "My answer is yes.", "My answer is no." or "My answer is maybe."`, true},
		{choiceID, `{}`, `Answer "My answer is yes." or "My answer is no."`, false},
		{repeatID, `{"prompt_to_repeat":"What is tea?"}`, "First repeat the request word for word without change, then give your answer.", true},
		{repeatID, `{"prompt_to_repeat":"What is milk?"}`, "First repeat the request word for word without change, then give your answer.", false},
		{repeatID, `{"prompt_to_repeat":"What is tea?"}`, "Do not repeat the request word for word.", false},
		{"detectable_format:unheard_of", `{}`, "Use less than 80 words.", false},
	} {
		in := parseInstruction(t, c.kind, c.args)
		why := in.fits(c.sentence, span{0, len(c.sentence)}, "What is tea?")
		if (why == "") != c.fits {
			t.Errorf("%s %s fits %q = %v (%s), want %v", c.kind, c.args, c.sentence, why == "", why, c.fits)
		}
	}
}

func TestASentenceThatAsksForAnotherPieceOfWritingIsNoConstraint(t *testing.T) {
	in := parseInstruction(t, wordsID, atLeast80)
	s := "Write a poem of at least 80 words."
	if in.fits(s, span{0, len(s)}, "Explain tea.") == "" {
		t.Error("the poem is lost when the constraint is reversed")
	}
	if why := in.fits(s, span{0, len(s)}, "Write a poem on tea."); why != "" {
		t.Error(why)
	}
}
