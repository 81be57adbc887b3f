package main

import (
	"bytes"
	"container/heap"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

const (
	eventsOfStream = 64
	interval       = 20 * time.Millisecond
)

var (
	streamMark = []byte(`"stream":`)
	delayMark  = []byte(`"seed":`)
	answer     = []byte(`{"id":"chatcmpl-5b0c1f","object":"chat.completion","created":1767225600,"model":"m0","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"The keeper lit the lamp and the sea was quiet."},"logprobs":null,` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":182,"completion_tokens":12,"total_tokens":194}}`)
	eventHead = []byte(`data: {"id":"chatcmpl-5b0c1f","object":"chat.completion.chunk","created":1767225600,"model":"m0",` +
		`"choices":[{"index":0,"delta":{`)
	healthy   = []byte(`{"status":"ok"}`)
	modelList = []byte(`{"object":"list","data":[{"id":"m0","object":"model","created":1767225600,"owned_by":"vllm",` +
		`"root":"m0","parent":null,"max_model_len":32768}]}`)
)

// client is a connection to the mock; seen are the ends of its body, where stream and seed stand.
type client struct {
	peer
	generation int // moves on when the connection ends, so that what was due for it is dropped
	open       bool
	body       []byte
}

// due is what a client is to get, and when: event -1 is a whole answer.
type due struct {
	at         int64
	client     *client
	generation int
	event      int
}

type schedule []due

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].at < s[j].at }
func (s schedule) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *schedule) Push(each any)     { *s = append(*s, each.(due)) }
func (s *schedule) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

type server struct {
	*poller
	listener int
	clients  map[int]*client
	schedule schedule
	scratch  []byte
	text     []byte
}

// mock serves until it is ended; its first line of output is its port.
func mock(address string) error {
	poller, err := newPoller()
	if err != nil {
		return err
	}
	listener, port, err := listen(address)
	if err != nil {
		return err
	}
	s := &server{poller: poller, listener: listener, clients: map[int]*client{}}
	if err := s.watch(listener, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, port)
	for {
		if err := s.turn(); err != nil {
			return err
		}
	}
}

func (s *server) turn() error {
	var next int64
	if len(s.schedule) > 0 {
		next = s.schedule[0].at
	}
	events, err := s.wait(next)
	if err != nil {
		return err
	}
	for _, event := range events {
		if int(event.Fd) == s.listener {
			s.accept()
		} else if each := s.clients[int(event.Fd)]; each != nil {
			s.serve(each, event.Events)
		}
	}
	for len(s.schedule) > 0 && s.schedule[0].at <= now() {
		s.deliver(heap.Pop(&s.schedule).(due))
	}
	return nil
}

func (s *server) accept() {
	for {
		fd, _, err := syscall.Accept4(s.listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		if prepared(fd) != nil || s.watch(fd, syscall.EPOLL_CTL_ADD, syscall.EPOLLIN) != nil {
			syscall.Close(fd)
			continue
		}
		s.clients[fd] = &client{peer: peer{fd: fd}, open: true}
	}
}

func (s *server) end(each *client) {
	each.open = false
	each.generation++
	delete(s.clients, each.fd)
	syscall.Close(each.fd)
}

func (s *server) serve(each *client, events uint32) {
	if events&syscall.EPOLLOUT != 0 && s.flush(&each.peer) != nil {
		s.end(each)
		return
	}
	data, err := s.read(each.fd)
	for err == nil && len(data) > 0 {
		data, err = each.message.take(data, func(part []byte) { each.body = append(each.body, part...) })
		if err == nil && each.message.state == done {
			s.begin(each)
			each.message.reset(false)
			each.body = each.body[:0]
		}
	}
	if err != nil && each.open {
		s.end(each)
	}
}

// begin answers a request, or plans its answer.
func (s *server) begin(each *client) {
	if !bytes.HasPrefix(each.message.first, []byte("POST ")) {
		s.reply(each, get(each.message.first))
		return
	}
	at := now() + int64(number(each.body, delayMark))*int64(time.Millisecond)
	event := -1
	if value(each.body, streamMark, 't') {
		event = 0
	} else if at <= now() {
		s.reply(each, answer)
		return
	}
	s.deliverAt(due{at, each, each.generation, event})
}

func (s *server) deliverAt(what due) {
	if what.at <= now() {
		s.deliver(what)
	} else {
		heap.Push(&s.schedule, what)
	}
}

func (s *server) deliver(what due) {
	if what.generation != what.client.generation {
		return
	}
	if what.event < 0 {
		s.reply(what.client, answer)
		return
	}
	s.transmit(what.client, s.event(what.event))
	if what.event+1 < eventsOfStream {
		what.at += int64(interval)
		what.event++
		heap.Push(&s.schedule, what)
	}
}

// event is one event of a stream as a chunk, the head before the first and the end behind the last; it bears its number and
// when it was sent.
func (s *server) event(number int) []byte {
	out := s.scratch[:0]
	if number == 0 {
		out = append(out, "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"...)
	}
	text := append(s.text[:0], eventHead...)
	if number == 0 {
		text = append(text, `"role":"assistant",`...)
	}
	text = append(text, `"content":"`...)
	text = append(text, eventMark...)
	text = strconv.AppendInt(text, int64(number), 10)
	text = append(text, '@')
	text = strconv.AppendInt(text, now(), 10)
	text = append(text, `"},"logprobs":null,"finish_reason":`...)
	if number == eventsOfStream-1 {
		text = append(text, `"stop"}]}`...)
	} else {
		text = append(text, `null}]}`...)
	}
	s.text = append(text, "\n\n"...)
	out = chunk(out, s.text)
	if number == eventsOfStream-1 {
		out = chunk(out, []byte("data: [DONE]\n\n"))
		out = append(out, "0\r\n\r\n"...)
	}
	s.scratch = out
	return out
}

func chunk(out, data []byte) []byte {
	out = strconv.AppendInt(out, int64(len(data)), 16)
	out = append(out, endOfLine...)
	out = append(out, data...)
	return append(out, endOfLine...)
}

func (s *server) reply(each *client, body []byte) {
	out := append(s.scratch[:0], "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: application/json\r\ncontent-length: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	out = append(out, endOfHead...)
	s.scratch = append(out, body...)
	s.transmit(each, s.scratch)
}

func (s *server) transmit(each *client, data []byte) {
	if err := s.send(&each.peer, data); err != nil {
		s.end(each)
	}
}

func get(first []byte) []byte {
	if bytes.Contains(first, []byte("/models")) {
		return modelList
	}
	return healthy
}

// number is the one behind the mark, 0 where there is none.
func number(body, mark []byte) int {
	at := bytes.Index(body, mark)
	if at < 0 {
		return 0
	}
	rest := bytes.TrimLeft(body[at+len(mark):], " ")
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	found, _ := strconv.Atoi(string(rest[:end]))
	return found
}

func value(body, mark []byte, begins byte) bool {
	at := bytes.Index(body, mark)
	if at < 0 {
		return false
	}
	rest := bytes.TrimLeft(body[at+len(mark):], " ")
	return len(rest) > 0 && rest[0] == begins
}
