// Package steptest runs the activities of a step in memory: an activity context,
// models behind scripted endpoints, and input of a few turns. For tests only;
// nothing of the steps' own domain may enter.
package steptest
