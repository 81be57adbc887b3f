package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// plan is what to ask; see the flags.
type plan struct {
	address, path, key, model            string
	models, body, delay, atOnce, streams int
	rate                                 float64
	warm, duration, patience             time.Duration
}

var (
	eventMark = []byte("event-")
	doneMark  = []byte("[DONE]")
)

// caller is one connection and what it waits for.
type caller struct {
	peer
	busy    bool
	stale   bool  // the connection must be made anew
	asked   int64 // when the request was due
	line    []byte
	events  int
	last    int64
	ended   bool
	content bool
}

type loader struct {
	*poller
	plan
	requests []request
	asked    int
	callers  []*caller
	by       map[int]*caller
	waiting  []int64 // when requests were due for which no connection was free
	begun    int64
	counted  int64 // from here on it counts
	until    int64
	figures  figures
}

func load(plan plan) (*result, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loader{poller: poller, plan: plan, by: map[int]*caller{}, requests: requests(plan)}
	for range plan.atOnce {
		each := &caller{}
		l.callers = append(l.callers, each)
		if err := l.open(each); err != nil {
			return nil, fmt.Errorf("%s: %w", plan.address, err)
		}
	}
	l.begun = now()
	l.counted = l.begun + int64(plan.warm)
	l.until = l.counted + int64(plan.duration)
	if plan.streams > 0 {
		err = l.runStreams()
	} else if plan.rate > 0 {
		err = l.runRate()
	} else {
		err = l.runClosed()
	}
	return l.figures.result(float64(min(now(), l.until)-l.counted) / 1e9), err
}

// request is a whole request; no two bodies are alike, so that no cache of a gateway knows one.
type request struct {
	text   []byte
	differ int // where eight digits of the body stand that are others each time
}

func (r request) number(count int) {
	for i := 7; i >= 0; i-- {
		r.text[r.differ+i] = byte('0' + count%10)
		count /= 10
	}
}

// requests are whole requests of the wanted size, one for each model.
func requests(plan plan) []request {
	stream := ""
	if plan.streams > 0 {
		stream = `,"stream":true`
	}
	made := make([]request, max(1, plan.models))
	for i := range made {
		model := strings.ReplaceAll(plan.model, "%d", strconv.Itoa(i))
		body := fmt.Sprintf(`{"model":%q,"seed":%d,"max_tokens":64%s,"messages":[{"role":"user","content":"00000000 `, model, plan.delay, stream)
		const end = `"}]}`
		filling := strings.Repeat("The keeper of the lighthouse looks out over the sea. ", plan.body/52+1)
		body += filling[:max(1, plan.body-len(body)-len(end))] + end
		path := strings.ReplaceAll(plan.path, "%d", strconv.Itoa(i))
		head := fmt.Sprintf("POST %s HTTP/1.1\r\nhost: %s\r\nuser-agent: gateway-load\r\naccept: application/json\r\n"+
			"content-type: application/json\r\ncontent-length: %d\r\n", path, plan.address, len(body))
		if plan.key != "" {
			head += "authorization: Bearer " + plan.key + "\r\n"
		}
		text := []byte(head + "\r\n" + body)
		made[i] = request{text, bytes.Index(text, []byte("00000000 "))}
	}
	return made
}

func (l *loader) open(each *caller) error {
	fd, err := connect(l.address)
	if err != nil {
		return err
	}
	if err := l.watch(fd, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN); err != nil {
		return err
	}
	delete(l.by, each.fd)
	each.fd, each.stale, each.out, each.sent = fd, false, nil, 0
	l.by[fd] = each
	return nil
}

// ask sends the next request; due is when it should have been sent.
func (l *loader) ask(each *caller, due int64) error {
	if each.stale {
		if err := l.open(each); err != nil {
			return err
		}
	}
	each.message.reset(true)
	each.busy, each.asked, each.events, each.last, each.ended, each.content = true, due, 0, 0, false, false
	each.line = each.line[:0]
	request := l.requests[l.asked%len(l.requests)]
	l.asked++
	request.number(l.asked)
	if err := l.send(&each.peer, request.text); err != nil {
		l.failed(each, err)
	}
	return nil
}

func (l *loader) failed(each *caller, err error) {
	if !each.stale {
		syscall.Close(each.fd)
	}
	each.stale, each.busy = true, false
	l.figures.failed(err.Error())
}

// collect takes in what came, at the latest at the deadline; each answer that is whole goes to then.
func (l *loader) collect(deadline int64, then func(*caller) error) error {
	events, err := l.wait(deadline)
	if err != nil {
		return err
	}
	for _, event := range events {
		each := l.by[int(event.Fd)]
		if each == nil || each.stale {
			continue
		}
		if event.Events&syscall.EPOLLOUT != 0 {
			if err := l.flush(&each.peer); err != nil {
				l.failed(each, err)
				continue
			}
		}
		if l.receive(each) {
			if err := then(each); err != nil {
				return err
			}
		}
	}
	return nil
}

// receive says whether a request has come to its end, good or bad.
func (l *loader) receive(each *caller) bool {
	data, err := l.read(each.fd)
	if err == nil && len(data) > 0 && each.busy {
		_, err = each.message.take(data, func(part []byte) { l.bodyPart(each, part) })
	}
	closed := errors.Is(err, errClosed)
	if closed && each.message.state == untilEnd {
		each.message.state, err = done, nil
	}
	if err != nil {
		wasBusy := each.busy
		if wasBusy {
			l.failed(each, err)
		} else {
			syscall.Close(each.fd)
			each.stale = true
		}
		return wasBusy
	}
	if !each.busy || each.message.state != done {
		return false
	}
	each.busy = false
	if closed {
		syscall.Close(each.fd)
		each.stale = true
	}
	l.figures.answered(l, each, now())
	return true
}

func (l *loader) bodyPart(each *caller, part []byte) {
	if l.streams == 0 {
		each.content = each.content || len(part) > 0
		return
	}
	each.line = append(each.line, part...)
	for {
		at := bytes.IndexByte(each.line, '\n')
		if at < 0 {
			return
		}
		l.streamLine(each, each.line[:at])
		each.line = append(each.line[:0], each.line[at+1:]...)
	}
}

// streamLine counts an event that is the next one; one that is not is left out, and so counts as lost.
func (l *loader) streamLine(each *caller, line []byte) {
	if bytes.Contains(line, doneMark) {
		each.ended = true
		return
	}
	at := bytes.Index(line, eventMark)
	if at < 0 {
		return
	}
	rest := line[at+len(eventMark):]
	rest = rest[:max(0, bytes.IndexByte(rest, '"'))]
	index, sent, found := bytes.Cut(rest, []byte("@"))
	if number, err := strconv.Atoi(string(index)); err != nil || !found || number != each.events {
		return
	}
	at64, _ := strconv.ParseInt(string(sent), 10, 64)
	l.figures.event(l, each, now(), at64)
	each.events++
}

func (l *loader) busy() bool {
	for _, each := range l.callers {
		if each.busy {
			return true
		}
	}
	return false
}

// finish waits for what is under way; what does not come counts as failed.
func (l *loader) finish() error {
	last := max(now(), l.until) + int64(l.patience)
	for l.busy() && now() < last {
		if err := l.collect(last, func(*caller) error { return nil }); err != nil {
			return err
		}
	}
	for _, each := range l.callers {
		if each.busy {
			l.failed(each, errors.New("no whole answer in time"))
			l.figures.abandoned(l, each)
		}
	}
	return nil
}

func (l *loader) runClosed() error {
	again := func(each *caller) error {
		if at := now(); at < l.until {
			return l.ask(each, at)
		}
		return nil
	}
	for _, each := range l.callers {
		if err := again(each); err != nil {
			return err
		}
	}
	for now() < l.until {
		if err := l.collect(l.until, again); err != nil {
			return err
		}
	}
	return l.finish()
}

// quantum is how finely requests are spread in time; one sent late is measured from when it was due.
const quantum = int64(200 * time.Microsecond)

func (l *loader) runRate() error {
	free := append([]*caller(nil), l.callers...)
	between := 1e9 / l.rate
	sent := 0
	begin := func() error {
		for len(free) > 0 && len(l.waiting) > 0 {
			each := free[len(free)-1]
			free = free[:len(free)-1]
			due := l.waiting[0]
			l.waiting = l.waiting[1:]
			if err := l.ask(each, due); err != nil {
				return err
			}
		}
		return nil
	}
	answered := func(each *caller) error {
		free = append(free, each)
		return begin()
	}
	for now() < l.until {
		for at := l.begun + int64(float64(sent)*between); at <= now(); at = l.begun + int64(float64(sent)*between) {
			l.waiting = append(l.waiting, at)
			sent++
		}
		if err := begin(); err != nil {
			return err
		}
		next := max(now()+quantum, l.begun+int64(float64(sent)*between))
		if err := l.collect(min(next, l.until), answered); err != nil {
			return err
		}
	}
	l.figures.unsent = len(l.waiting)
	return l.finish()
}

// runStreams begins the connections' streams evenly over one interval, so that their events do not come all at once.
func (l *loader) runStreams() error {
	l.counted = l.begun
	begun := 0
	again := func(each *caller) error {
		if begun >= l.streams {
			return nil
		}
		begun++
		return l.ask(each, now())
	}
	for i, each := range l.callers {
		at := l.begun + int64(i)*int64(interval)/int64(len(l.callers))
		for now() < at {
			if err := l.collect(at, again); err != nil {
				return err
			}
		}
		if err := again(each); err != nil {
			return err
		}
	}
	last := now() + int64(l.duration)
	for (l.busy() || begun < l.streams) && now() < last {
		if err := l.collect(last, again); err != nil {
			return err
		}
	}
	l.until = now()
	return l.finish()
}
