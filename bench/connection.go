package bench

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// connection is one kept-alive HTTP connection, written to without the cost of
// a client, so that the generator leaves the machine to the server.
type connection struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
	out  net.Buffers
	text []byte // of the latest answer
}

const answerTimeout = 30 * time.Second

// do makes one request; head ends before the value of Content-Length. After an
// error the next request opens a new connection.
func (c *connection) do(head string, body []byte) (status int, retryAfter time.Duration, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("tcp", c.addr, 5*time.Second); err != nil {
			return 0, 0, err
		}
		c.in = bufio.NewReaderSize(c.conn, 16<<10)
	}
	if err = c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, 0, err
	}
	var length [24]byte
	line := append(strconv.AppendInt(length[:0], int64(len(body)), 10), "\r\n\r\n"...)
	c.out = append(c.out[:0], []byte(head), line, body)
	out := c.out
	if _, err = out.WriteTo(c.conn); err != nil {
		return 0, 0, err
	}
	res, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, 0, err
	}
	c.text = c.text[:0]
	for {
		if len(c.text) == cap(c.text) {
			c.text = append(c.text, 0)[:len(c.text)]
		}
		n, rerr := res.Body.Read(c.text[len(c.text):cap(c.text)])
		c.text = c.text[:len(c.text)+n]
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return 0, 0, rerr
		}
	}
	if s, aerr := strconv.Atoi(res.Header.Get("Retry-After")); aerr == nil {
		retryAfter = time.Duration(min(max(s, 0), 10)) * time.Second
	}
	if res.Close {
		c.close()
	}
	return res.StatusCode, retryAfter, nil
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}
