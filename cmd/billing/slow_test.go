package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A place is for work, not for waiting: bodies that do not arrive keep nobody
// else waiting, and get their answer when their time is over.
func TestHalfSentBodiesTakeNoPlace(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	id := i.issuePaid()
	rest := []string{
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(anInvoice), anInvoice[:9]),
		fmt.Sprintf("Content-Length: %d\r\n\r\n", len(anInvoice)),
		"Transfer-Encoding: chunked\r\n\r\n10\r\n{",
		"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
	}
	paths := []string{"/v1/invoices", "/v1/invoices/" + id + "/pay", "/v1/invoices/" + id + "/cancel"}
	slow := make([]*rawClient, 400)
	for n := range slow {
		slow[n] = i.dial(http.MethodPost, paths[n%len(paths)])
		// When the service says to go on, it waits for the body.
		slow[n].send("Content-Type: application/json\r\nExpect: 100-continue\r\n" + rest[n%len(rest)])
		slow[n].expect(http.StatusContinue)
	}

	for range 3 {
		i.awaitReceipt(i.issuePaid())
		i.expect(http.StatusOK, http.MethodGet, "/v1/invoices", "")
		i.expect(http.StatusOK, http.MethodGet, "/readyz", "")
		i.expect(http.StatusOK, http.MethodGet, "/metrics", "")
	}
	patient, gone, slow := slow[0], slow[1:50], slow[50:]
	patient.send(anInvoice[9:])
	if a := patient.expect(http.StatusCreated); a.Close {
		t.Error("a connection ends for a body that arrived in time")
	}
	for _, c := range gone {
		s.must(c.Close())
	}
	for _, c := range slow {
		a := c.expect(http.StatusRequestTimeout)
		if p := a.problem(); p.Code != "request-timeout" || !a.Close {
			t.Fatalf("got %v %s", a.Header, a.body)
		}
		if _, err := c.answers.ReadByte(); err != io.EOF {
			t.Fatalf("the connection is open after the answer: %v", err)
		}
	}
	i.issuePaid()
	s.prove()
	if code := i.stop(); code != exitOK {
		t.Errorf("something waits on: exit code %d", code)
	}
}

// What does not want a body does not wait for it.
func TestUnwantedBodyHoldsUpNoAnswer(t *testing.T) {
	s := newStack(t)
	i := s.serve(map[string]string{"BILLING_CONSOLE": "demo"})
	for range 20 {
		i.issue() // a page that is too long for the server to hold it back
	}
	path := "/v1/invoices/" + i.issue()
	const half, chunk, large = "Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\nff\r\n{", "Content-Length: 65537\r\n\r\n{"
	const expect = "Expect: 100-continue\r\n"
	for _, c := range []struct {
		method, path, rest string
		status             int
	}{
		{http.MethodGet, "/v1/invoices", half, http.StatusOK},
		{http.MethodHead, "/v1/invoices", chunk, http.StatusOK},
		{http.MethodGet, path, expect + chunk, http.StatusOK},
		{http.MethodPatch, path, half, http.StatusMethodNotAllowed},
		{http.MethodPost, "/v1/nothing", chunk, http.StatusNotFound},
		{http.MethodPost, "/v1/invoices", large, http.StatusRequestEntityTooLarge},
		{http.MethodPost, path + "/pay", expect + large, http.StatusRequestEntityTooLarge},
		{http.MethodGet, "/readyz", half, http.StatusOK},
		{http.MethodGet, "/metrics", chunk, http.StatusOK},
		{http.MethodPost, "/console/relay/resume", half, http.StatusNoContent},
		{http.MethodPost, "/console/poison?kind=none", expect + half, http.StatusUnprocessableEntity},
	} {
		client := i.dial(c.method, c.path)
		client.send(c.rest)
		if a := client.expect(c.status); !a.Close {
			t.Errorf("%s %s: the connection stays open for the rest of the body", c.method, c.path)
		}
	}
	stream := i.dial(http.MethodGet, "/console/stream")
	stream.send(half)
	response, err := http.ReadResponse(stream.answers, stream.request)
	s.must(err)
	defer response.Body.Close()
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil {
		t.Errorf("got %q of the stream: %v", line, err)
	}
	if code := i.stop(); code != exitOK {
		t.Errorf("it did not end in time: exit code %d", code)
	}
}

// rawClient is the client of one request, which it sends as slowly as it likes.
type rawClient struct {
	net.Conn
	*instance
	request *http.Request
	answers *bufio.Reader
}

func (i *instance) dial(method, path string) *rawClient {
	i.Helper()
	request, err := http.NewRequestWithContext(i.Context(), method, i.url+path, http.NoBody)
	i.must(err)
	conn, err := new(net.Dialer).DialContext(i.Context(), "tcp", request.Host)
	i.must(err)
	i.Cleanup(func() { _ = conn.Close() }) // most tests have closed it
	i.must(conn.SetDeadline(time.Now().Add(patience)))
	c := &rawClient{conn, i, request, bufio.NewReader(conn)}
	c.send(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, request.Host))
	return c
}

func (c *rawClient) send(text string) {
	c.Helper()
	_, err := io.Copy(c.Conn, strings.NewReader(text))
	c.must(err)
}

// expect reads an answer, which must have the given status.
func (c *rawClient) expect(status int) answer {
	c.Helper()
	response, err := http.ReadResponse(c.answers, c.request)
	c.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	c.must(err)
	if response.StatusCode != status {
		c.Fatalf("%s %s: got %s, want %d\n%s", c.request.Method, c.request.URL, response.Status, status, body)
	}
	if status != http.StatusContinue {
		c.checkAnswer(c.request, "", response, body)
	}
	return answer{response, body}
}
