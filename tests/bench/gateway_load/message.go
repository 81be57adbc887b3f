package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// message takes an HTTP/1.1 message apart as its bytes come, request or response alike.
//
//	head ──> body of known length ───────────────> done
//	   ├───> chunk size ──> chunk ──> … ──> trailer ──> done
//	   └───> a response's body until the connection ends
type message struct {
	state    state
	held     []byte // the part of a head or line that has come so far
	first    []byte // the first line
	left     int    // bytes of the body or chunk still to come
	response bool
}

type state int

const (
	inHead state = iota
	inBody
	inChunkSize
	inChunk
	afterChunk
	inTrailer
	untilEnd
	done
)

const largestHead = 64 << 10

var (
	endOfHead   = []byte("\r\n\r\n")
	endOfLine   = []byte("\r\n")
	lengthName  = []byte("content-length")
	codingName  = []byte("transfer-encoding")
	errTooLarge = errors.New("a head or line is too large")
)

func (m *message) reset(response bool) {
	*m = message{held: m.held[:0], first: m.first[:0], response: response}
}

// take gives each part of the body to body as it comes, and returns what stands behind the message.
func (m *message) take(data []byte, body func([]byte)) ([]byte, error) {
	var err error
	for len(data) > 0 && m.state != done && err == nil {
		data, err = m.step(data, body)
	}
	return data, err
}

func (m *message) step(data []byte, body func([]byte)) ([]byte, error) {
	switch m.state {
	case inHead:
		return m.until(endOfHead, data, m.head)
	case inChunkSize:
		return m.until(endOfLine, data, m.chunkSize)
	case afterChunk:
		return m.until(endOfLine, data, func([]byte) error { m.state = inChunkSize; return nil })
	case inTrailer:
		return m.until(endOfLine, data, m.trailer)
	case untilEnd:
		body(data)
		return nil, nil
	}
	n := min(m.left, len(data))
	body(data[:n])
	m.left -= n
	if m.left == 0 && m.state == inChunk {
		m.state = afterChunk
	} else if m.left == 0 {
		m.state = done
	}
	return data[n:], nil
}

// until hands what stands before the mark to then, once it has come; it returns what stands behind.
func (m *message) until(mark, data []byte, then func([]byte) error) ([]byte, error) {
	if at := bytes.Index(data, mark); at >= 0 && len(m.held) == 0 {
		return data[at+len(mark):], then(data[:at])
	}
	before := len(m.held)
	m.held = append(m.held, data...)
	at := bytes.Index(m.held, mark)
	if at < 0 && len(m.held) > largestHead {
		return nil, errTooLarge
	}
	if at < 0 {
		return nil, nil
	}
	line := m.held[:at]
	m.held = m.held[:0]
	return data[at+len(mark)-before:], then(line)
}

func (m *message) head(head []byte) error {
	first, rest, _ := bytes.Cut(head, endOfLine)
	m.first = append(m.first[:0], first...)
	m.state, m.left = done, 0
	if m.response {
		m.state = untilEnd
	}
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, endOfLine)
		name, value, _ := bytes.Cut(line, []byte(":"))
		if err := m.field(name, bytes.TrimSpace(value)); err != nil {
			return err
		}
	}
	return nil
}

func (m *message) field(name, value []byte) error {
	switch {
	case len(name) == len(lengthName) && bytes.EqualFold(name, lengthName):
		length, err := strconv.Atoi(string(value))
		if err != nil || length < 0 {
			return fmt.Errorf("content-length %q", value)
		}
		if m.left = length; length > 0 {
			m.state = inBody
		} else {
			m.state = done
		}
	case len(name) == len(codingName) && bytes.EqualFold(name, codingName):
		m.state = inChunkSize
	}
	return nil
}

func (m *message) chunkSize(line []byte) error {
	digits, _, _ := bytes.Cut(line, []byte(";"))
	size, err := strconv.ParseUint(string(bytes.TrimSpace(digits)), 16, 31)
	if err != nil {
		return fmt.Errorf("chunk size %q", line)
	}
	if m.left = int(size); size > 0 {
		m.state = inChunk
	} else {
		m.state = inTrailer
	}
	return nil
}

func (m *message) trailer(line []byte) error {
	if len(line) == 0 {
		m.state = done
	}
	return nil
}

// status is that of a response, 0 where the first line says none.
func (m *message) status() int {
	words := bytes.Fields(m.first)
	if len(words) < 2 {
		return 0
	}
	status, _ := strconv.Atoi(string(words[1]))
	return status
}
