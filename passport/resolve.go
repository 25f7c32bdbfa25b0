package passport

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/catalog"
	"github.com/rapport-engine/rapport/gs1"
)

// vocabulary is the namespace of link types (GS1 Web Vocabulary).
const vocabulary = "https://gs1.org/voc/"

// own are the query parameters that are ours and not passed on.
var own = []string{"linkType", "context", "compress", "picc_data", "enc", "cmac", "uid", "ctr"}

// scan answers a Digital Link URI (GS1-Conformant Resolver Standard 1.1).
func (s *Server) scan(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "Link, Location")
	h.Set("X-Content-Type-Options", "nosniff")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Accept, Accept-Language")
		w.WriteHeader(http.StatusNoContent)
		return
	default:
		h.Set("Allow", "GET, HEAD, OPTIONS")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	link, err := parse(r, "")
	if err != nil {
		s.problem(w, r, err)
		return
	}
	query := r.URL.Query()
	config := s.config.Load()
	product := config.Products.Product(link.Key.GTIN())
	if product == nil && !s.known(r, link.Key) {
		s.problem(w, r, rapport.Errorf(rapport.NotFound, "%s is not known here", link.Key.Path()))
		return
	}
	if query.Get("cmac") != "" && r.Method == http.MethodGet {
		s.tapped(w, r, link, product)
		return
	}
	set := s.links(r, link.Key, product)
	h.Set("Vary", "Accept, Accept-Language")
	h.Set("Link", "<"+link.Key.URI(s.stem(r))+"?linkType=linkset>; rel=\"linkset\"; type=\"application/linkset+json\", <"+link.Key.Canonical()+">; rel=\"owl:sameAs\"")
	asked := query.Get("linkType")
	if asked == "linkset" || asked == "all" || accepts(r, "application/linkset+json") {
		body, err := json.Marshal(set.linkset())
		if err != nil {
			s.problem(w, r, err)
			return
		}
		h.Set("Content-Type", "application/linkset+json")
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
		}
		return
	}
	found := set.find(asked, query.Get("context"), r.Header.Get("Accept-Language"))
	switch len(found) {
	case 0:
		s.problem(w, r, rapport.WithHint(rapport.Errorf(rapport.NotFound, "there is no link of the type %q", asked), "?linkType=linkset lists those there are"))
	case 1:
		h.Set("Location", passOn(found[0].Href, r.URL.RawQuery))
		w.WriteHeader(http.StatusTemporaryRedirect)
	default:
		list := []map[string]any{}
		for _, l := range found {
			list = append(list, target(l))
		}
		body, err := json.Marshal(map[string]any{"links": list})
		if err != nil {
			s.problem(w, r, err)
			return
		}
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusMultipleChoices)
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
		}
	}
}

// known reports whether a key names an item with a twin.
func (s *Server) known(r *http.Request, k gs1.Key) bool {
	i, ok := k.Item()
	if !ok {
		return false
	}
	_, err := s.deps.Items.Item(r.Context(), i.ID())
	return err == nil
}

func accepts(r *http.Request, media string) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		if m, _, _ := strings.Cut(part, ";"); strings.TrimSpace(m) == media {
			return true
		}
	}
	return false
}

// passOn adds what else the query holds to the address.
func passOn(href, query string) string {
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if part != "" && !slices.Contains(own, name) {
			kept = append(kept, part)
		}
	}
	if len(kept) == 0 {
		return href
	}
	sep := "?"
	if strings.Contains(href, "?") {
		sep = "&"
	}
	return href + sep + strings.Join(kept, "&")
}

// linkset are the links of a key, level by level, the finest first.
type linkset struct {
	levels []level
	// page is the item's own page here, the default where no link is.
	page catalog.LinkDoc
}

type level struct {
	anchor, description string
	links               []catalog.LinkDoc
}

// links gathers what a key and everything above it leads to.
func (s *Server) links(r *http.Request, k gs1.Key, product *catalog.ProductDoc) linkset {
	stem := s.stem(r)
	title := k.Path()
	if product != nil {
		title = product.Name
	}
	set := linkset{page: catalog.LinkDoc{Type: "pip", Href: stem + "/passport" + k.Path(), Title: title, Media: "text/html"}}
	for key, more := k, true; more; key, more = key.Parent() {
		l := level{anchor: key.URI(stem), description: title}
		if product != nil {
			for _, x := range product.Links {
				if matches(x, key) {
					l.links = append(l.links, x)
				}
			}
		}
		set.levels = append(set.levels, l)
	}
	return set
}

// matches reports whether a link belongs to exactly the level of a key.
func matches(l catalog.LinkDoc, k gs1.Key) bool {
	last := k.Elements()[len(k.Elements())-1]
	switch {
	case l.Serial != "":
		return last.AI == "21" && last.Value == l.Serial && (l.Lot == "" || k.Value("10") == l.Lot)
	case l.Lot != "":
		return last.AI == "10" && last.Value == l.Lot
	}
	return len(k.Elements()) == 1
}

// standard returns the one link a plain scan leads to.
func (s linkset) standard() catalog.LinkDoc {
	for _, l := range s.levels {
		for _, x := range l.links {
			if x.Default {
				return x
			}
		}
	}
	return s.page
}

// find returns the links a request asks for: one, several between which it does
// not choose, or none.
func (s linkset) find(asked, context, languages string) []catalog.LinkDoc {
	kind := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(asked, "gs1:"), vocabulary), "http://gs1.org/voc/")
	if kind == "" || kind == "defaultLink" {
		return []catalog.LinkDoc{s.standard()}
	}
	var found []catalog.LinkDoc
	for _, l := range s.levels {
		for _, x := range l.links {
			if x.Type == kind {
				found = append(found, x)
			}
		}
		if len(found) > 0 {
			break // what is said of this very level counts before what is said above
		}
	}
	if len(found) == 0 && kind == s.page.Type {
		return []catalog.LinkDoc{s.page}
	}
	found = narrow(found, func(l catalog.LinkDoc) bool { return context != "" && slices.Contains(l.Context, context) })
	for _, lang := range preferred(languages) {
		if some := slices.DeleteFunc(slices.Clone(found), func(l catalog.LinkDoc) bool { return !speaks(l, lang) }); len(some) > 0 {
			return some
		}
	}
	return found
}

// narrow keeps those that match if any does.
func narrow(list []catalog.LinkDoc, match func(catalog.LinkDoc) bool) []catalog.LinkDoc {
	if some := slices.DeleteFunc(slices.Clone(list), func(l catalog.LinkDoc) bool { return !match(l) }); len(some) > 0 {
		return some
	}
	return list
}

// preferred lists the languages of an Accept-Language header, most wanted first.
func preferred(header string) []string {
	type choice struct {
		tag string
		q   float64
	}
	var list []choice
	for part := range strings.SplitSeq(header, ",") {
		tag, params, _ := strings.Cut(part, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64)
		}
		if tag = strings.TrimSpace(tag); tag != "" && tag != "*" && q > 0 && len(list) < 32 {
			list = append(list, choice{tag, q})
		}
	}
	slices.SortStableFunc(list, func(a, b choice) int { return int((b.q - a.q) * 1000) })
	var tags []string
	for _, c := range list {
		tags = append(tags, c.tag)
	}
	return tags
}

// speaks reports whether a link is in a language: the very tag, or one of the same primary language.
func speaks(l catalog.LinkDoc, tag string) bool {
	primary := func(t string) string { p, _, _ := strings.Cut(strings.ToLower(t), "-"); return p }
	for _, have := range l.Lang {
		if strings.EqualFold(have, tag) || primary(have) == primary(tag) {
			return true
		}
	}
	return false
}

func target(l catalog.LinkDoc) map[string]any {
	t := map[string]any{"href": l.Href, "title": l.Title}
	if l.Media != "" {
		t["type"] = l.Media
	}
	if len(l.Lang) > 0 {
		t["hreflang"] = l.Lang
	}
	if len(l.Context) > 0 {
		t["context"] = l.Context
	}
	return t
}

// linkset returns the document of RFC 9264.
func (s linkset) linkset() map[string]any {
	var out []map[string]any
	standard := s.standard()
	for i, l := range s.levels {
		m := map[string]any{"anchor": l.anchor, "itemDescription": l.description}
		links := l.links
		if i == len(s.levels)-1 {
			links = append(slices.Clone(links), s.page)
			m[vocabulary+"defaultLink"] = []map[string]any{{"href": standard.Href, "title": standard.Title}}
		}
		for _, x := range links {
			list, _ := m[vocabulary+x.Type].([]map[string]any)
			m[vocabulary+x.Type] = append(list, target(x))
		}
		if len(m) > 2 {
			out = append(out, m)
		}
	}
	slices.Reverse(out)
	return map[string]any{"linkset": out}
}

// describe serves the resolver description file.
func (s *Server) describe(w http.ResponseWriter, r *http.Request) {
	var keys []string
	for number, ai := range gs1.Dictionary() {
		if ai.Primary {
			keys = append(keys, number)
		}
	}
	slices.Sort(keys)
	types := map[string]bool{"pip": true, "defaultLink": true}
	for _, p := range s.config.Load().Products.All() {
		for _, l := range p.Links {
			types[l.Type] = true
		}
	}
	active := map[string]any{}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		active["gs1:"+t] = map[string]string{"title": t, "url": vocabulary + t}
	}
	body, err := json.Marshal(map[string]any{
		"name": "Rapport", "resolverRoot": s.stem(r), "supportedPrimaryKeys": keys,
		"supportedLinkType":        []map[string]string{{"namespace": vocabulary, "prefix": "gs1:"}},
		"linkTypeDefaultCanBeAll":  false,
		"supportsLanguageVariants": true,
		"validatesAICombinations":  true,
		"activeLinkTypes":          map[string]any{"en": active},
	})
	if err != nil {
		s.problem(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
	_, _ = w.Write(body)
}

// message returns what a tap put into the URL. Its parts are read as written:
// the code covers the text itself.
func message(query url.Values) (picc, enc, cmac, uid, ctr string) {
	return query.Get("picc_data"), query.Get("enc"), query.Get("cmac"), query.Get("uid"), query.Get("ctr")
}
