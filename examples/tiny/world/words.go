package main

// The words of the world. Lists are disjoint, so that a word's class, and with
// it the slots that it fits, is never in doubt.
var (
	nouns = []string{
		"river", "garden", "lamp", "bridge", "fox", "tower", "harbor", "stone", "forest", "boat",
		"window", "mountain", "bird", "market", "song", "clock", "village", "horse", "island", "letter",
		"train", "kite", "storm", "cloud", "castle", "sailor", "tree", "valley",
	}
	adjectives = []string{
		"red", "tall", "silent", "ancient", "green", "gentle", "bright", "small", "golden", "wild",
		"cold", "silver", "lazy", "blue",
	}
	verbs        = []string{"waits", "sings", "sleeps", "turns", "shines", "rests", "plays", "floats"}
	prepositions = []string{"near", "under", "behind", "beside"}
	adverbs      = []string{"quietly", "slowly", "alone", "again"}
	determiners  = []string{"the", "every", "this"}
	connectors   = []string{"and", "while", "but"}
	openers      = []string{"Today", "Often", "Perhaps", "Sometimes", "Now", "Tonight", "Indeed", "Soon"}
)

// targets are the nouns and adjectives that a constraint may name; few, so that
// minutes of training teach the model to copy each of them.
var (
	targetNouns      = nouns[:12]
	targetAdjectives = adjectives[:6]
)

// personas open a system message.
var personas = []string{
	"You are a guide to a small town by the sea.",
	"You are a storyteller at the night market.",
	"You are the keeper of the old library.",
	"You are a poet who loves plain words.",
	"You are a sailor who talks to guests.",
	"You are a teacher in the valley school.",
	"You are a baker who knows every visitor.",
	"You are the voice of a picture book.",
	"You are a friendly host at the harbor inn.",
	"You are a gardener with time for a chat.",
}

// questions hold one %s for the topic.
var questions = []string{
	"Tell me about the %s.",
	"What do you know about the %s?",
	"Please describe the %s.",
	"What about the %s?",
	"Say something about the %s.",
	"Can you tell me more about the %s?",
}
