package passport

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/twin"
)

// holderFor is how long a browser is known to hold an item.
const holderFor = 365 * 24 * time.Hour

// act does what a form of the page asks for, then shows the page again.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 32<<10)
	if !sameOrigin(r) {
		s.problem(w, r, rapport.Errorf(rapport.Denied, "the form did not come from this page"))
		return
	}
	if err := r.ParseForm(); err != nil {
		s.problem(w, r, rapport.Errorf(rapport.Invalid, "the form cannot be read"))
		return
	}
	v, err := s.visit(r)
	if err == nil {
		err = s.complete(r, v)
	}
	if err == nil && v.item == nil {
		err = rapport.Errorf(rapport.NotFound, "nothing is known of this item yet; tap its tag first")
	}
	if err != nil {
		s.problem(w, r, err)
		return
	}
	do := r.PostForm.Get("do")
	var code string
	switch do {
	case "claim":
		err = s.claim(w, r, v)
	case "report":
		err = s.report(r, v)
	case "note":
		err = s.note(r, v)
	case "answer":
		err = s.question(r, v)
	case "offer":
		code, _, err = s.deps.Items.Offer(r.Context(), v.id, s.owner(v), r.PostForm.Get("kind"))
	case "withdraw":
		err = s.deps.Items.Withdraw(r.Context(), v.id, s.owner(v))
	case "release":
		err = s.deps.Items.Release(r.Context(), v.id, s.owner(v))
	default:
		err = rapport.Errorf(rapport.Invalid, "the form asks for nothing known")
	}
	switch {
	case err != nil && status(err) >= 500:
		s.problem(w, r, err)
	case err != nil:
		v.problem = sentence(err)
		s.answer(w, r, v, status(err))
	case code != "":
		v.code = code
		s.answer(w, r, v, http.StatusOK)
	default:
		http.Redirect(w, r, "/passport"+v.key.Path()+"?done="+url.QueryEscape(do), http.StatusSeeOther)
	}
}

// owner is who acts as owner: nobody else's id would do.
func (s *Server) owner(v *visit) rapport.ID {
	if v.viewer.Value == "" {
		return rapport.ID{0xff} // nobody's
	}
	return s.deps.Identity.Identified(v.viewer)
}

func sentence(err error) string {
	text := err.Error()
	if text == "" {
		return text
	}
	text = strings.ToUpper(text[:1]) + text[1:] + "."
	if hint := rapport.HintOf(err); hint != "" {
		text += " " + strings.ToUpper(hint[:1]) + hint[1:] + "."
	}
	return text
}

// sameOrigin reports whether a form comes from a page of ours.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return true
	case "cross-site", "same-site":
		return false
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return origin == ""
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host == r.Host
}

// claim makes the one who looks the owner: by the tap they came with, the code
// that was packed with it, the receipt, or the code of the owner before.
func (s *Server) claim(w http.ResponseWriter, r *http.Request, v *visit) error {
	f := r.PostForm
	proof := item.Proof{Ticket: f.Get("ticket"), Receipt: strings.TrimSpace(f.Get("receipt"))}
	if code := strings.TrimSpace(f.Get("code")); code != "" {
		if v.item.Owner.Person.IsZero() {
			proof.Code = code
		} else {
			proof = item.Proof{Offer: code}
		}
	}
	who := v.viewer
	if who.Value == "" {
		who = twin.Holder(v.id, v.item.Epoch)
		if !v.item.Owner.Person.IsZero() { // the time in between is the new owner's first
			who = twin.Holder(v.id, v.item.Epoch+1)
		}
	}
	claimed, err := s.deps.Items.Claim(r.Context(), v.id, who, proof)
	if err != nil {
		return err
	}
	until := s.deps.Clock.Now().Add(holderFor)
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: s.deps.Items.Seal(who, rapport.Millis(until)), Path: "/", Expires: until, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: r.TLS != nil || strings.HasPrefix(s.deps.PublicURL, "https://"),
	})
	if mail := strings.TrimSpace(f.Get("email")); mail != "" && len(mail) <= 254 && strings.Count(mail, "@") == 1 {
		// Nobody has proved that the address is theirs, so it names nobody.
		traits := rapport.AppendField(nil, "contactEmail", rapport.StringValue(mail))
		return s.tell(r.Context(), claimed.Owner.Person, "", nil, traits)
	}
	return nil
}

// report notes a problem with the item.
func (s *Server) report(r *http.Request, v *visit) error {
	text := strings.TrimSpace(r.PostForm.Get("text"))
	if text == "" || len(text) > 2000 {
		return rapport.Errorf(rapport.Invalid, "tell us in one to 2,000 characters what is wrong")
	}
	p := rapport.AppendField(nil, "text", rapport.StringValue(text))
	p = rapport.AppendField(p, "verdict", rapport.StringValue(string(v.verdict)))
	return s.deps.Items.Moment(r.Context(), v.id, twin.ProductReported, "", p)
}

// note records that who holds the item took note of its recall.
func (s *Server) note(r *http.Request, v *visit) error {
	id := r.PostForm.Get("recall")
	if v.role == "" || v.person.IsZero() {
		return rapport.Errorf(rapport.Denied, "claim the item first")
	}
	if v.item.Under(id) == nil {
		return rapport.Errorf(rapport.Invalid, "this recall does not concern the item any more")
	}
	p := rapport.AppendField(nil, "recall", rapport.StringValue(id))
	return s.tell(r.Context(), v.person, twin.ProductRecallAcknowledged, rapport.AppendField(p, "item", rapport.StringValue(v.id)), nil)
}

// question takes the answer to a preference question: it becomes a trait of who looks.
func (s *Server) question(r *http.Request, v *visit) error {
	if v.product == nil || v.person.IsZero() {
		return rapport.Errorf(rapport.Denied, "claim the item first")
	}
	id, answer := r.PostForm.Get("question"), r.PostForm.Get("answer")
	for _, q := range v.product.Questions {
		if q.ID != id {
			continue
		}
		for _, a := range q.Answers {
			if a == answer {
				return s.tell(r.Context(), v.person, "", nil, rapport.AppendField(nil, id, rapport.StringValue(answer)))
			}
		}
	}
	return rapport.Errorf(rapport.Invalid, "this is none of the answers")
}

// follow notes that the next best thing was followed, and leads there.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	word, ok := s.deps.Items.Unseal(r.URL.Query().Get("to"))
	parts := strings.SplitN(word.Value, " ", 3)
	if !ok || word.Kind != "go" || len(parts) != 3 {
		s.problem(w, r, rapport.Errorf(rapport.Invalid, "the link is not ours or too old"))
		return
	}
	person, err := rapport.ParseID(parts[1])
	if err == nil {
		err = s.tell(r.Context(), person, rapport.EventDecisionClicked, rapport.AppendField(nil, "decisionId", rapport.StringValue(parts[0])), nil)
	}
	if err != nil {
		s.problem(w, r, err)
		return
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, parts[2], http.StatusSeeOther)
}
