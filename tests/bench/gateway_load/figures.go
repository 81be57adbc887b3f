package main

import (
	"fmt"
	"slices"
)

// figures gathers what a run measures; all times are nanoseconds.
type figures struct {
	latencies, firsts, gaps, transits []int64
	all, errors, unsent               int
	streams, whole, events, lost      int
	firstError                        string
}

// result is a run's outcome: times in microseconds, `all` counts the warm requests too.
type result struct {
	Requests   int     `json:"requests"`
	All        int     `json:"all"`
	Errors     int     `json:"errors"`
	Unsent     int     `json:"unsent"`
	FirstError string  `json:"first_error"`
	Seconds    float64 `json:"seconds"`
	RPS        float64 `json:"rps"`
	P50        float64 `json:"p50_us"`
	P99        float64 `json:"p99_us"`
	Streams    int     `json:"streams"`
	Whole      int     `json:"whole"`
	Events     int     `json:"events"`
	Lost       int     `json:"lost"`
	FirstP50   float64 `json:"first_p50_us"`
	FirstP99   float64 `json:"first_p99_us"`
	GapP50     float64 `json:"gap_p50_us"`
	GapP99     float64 `json:"gap_p99_us"`
	TransitP50 float64 `json:"transit_p50_us"`
	TransitP99 float64 `json:"transit_p99_us"`
}

func (f *figures) failed(why string) {
	f.errors++
	if f.firstError == "" {
		f.firstError = why
	}
}

// answered counts an answer that has come to its end.
func (f *figures) answered(l *loader, each *caller, at int64) {
	f.all++
	if l.streams > 0 {
		f.stream(each)
	}
	if status := each.message.status(); status != 200 {
		f.failed(fmt.Sprintf("status %d", status))
		return
	}
	if each.asked >= l.counted && at <= l.until || l.streams > 0 {
		f.latencies = append(f.latencies, at-each.asked)
	}
}

func (f *figures) stream(each *caller) {
	f.streams++
	f.events += each.events
	f.lost += eventsOfStream - each.events
	if each.events == eventsOfStream && each.ended {
		f.whole++
	}
}

// abandoned counts a stream that did not end in time.
func (f *figures) abandoned(l *loader, each *caller) {
	if l.streams > 0 {
		f.stream(each)
	}
}

func (f *figures) event(_ *loader, each *caller, at, sent int64) {
	if each.events == 0 {
		f.firsts = append(f.firsts, at-each.asked)
	} else {
		f.gaps = append(f.gaps, at-each.last)
	}
	f.transits = append(f.transits, at-sent)
	each.last = at
}

func (f *figures) result(seconds float64) *result {
	found := &result{
		Requests: len(f.latencies), All: f.all, Errors: f.errors, Unsent: f.unsent, FirstError: f.firstError,
		Seconds: seconds, RPS: float64(len(f.latencies)) / seconds,
		Streams: f.streams, Whole: f.whole, Events: f.events, Lost: f.lost,
	}
	found.P50, found.P99 = percentiles(f.latencies)
	found.FirstP50, found.FirstP99 = percentiles(f.firsts)
	found.GapP50, found.GapP99 = percentiles(f.gaps)
	found.TransitP50, found.TransitP99 = percentiles(f.transits)
	return found
}

// percentiles are the median and the 99th in microseconds; 0 where nothing was measured.
func percentiles(times []int64) (float64, float64) {
	if len(times) == 0 {
		return 0, 0
	}
	slices.Sort(times)
	at := func(share float64) float64 { return float64(times[int(share*float64(len(times)-1))]) / 1000 }
	return at(0.5), at(0.99)
}
