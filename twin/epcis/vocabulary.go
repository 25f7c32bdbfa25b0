package epcis

import (
	"slices"
	"strings"
)

// vocabulary is one list of the Core Business Vocabulary (CBV 2.0): its words
// and the forms in which URIs carry them.
type vocabulary struct {
	name     string
	prefixes []string
	words    []string
}

var (
	bizSteps = vocabulary{
		name: "business step", prefixes: []string{"urn:epcglobal:cbv:bizstep:", "https://ref.gs1.org/cbv/BizStep-", "https://ns.gs1.org/cbv/BizStep-", "cbv:BizStep-"},
		words: []string{
			"accepting", "arriving", "assembling", "collecting", "commissioning", "consigning", "creating_class_instance", "cycle_counting",
			"decommissioning", "departing", "destroying", "disassembling", "dispensing", "encoding", "entering_exiting", "holding", "inspecting",
			"installing", "killing", "loading", "other", "packing", "picking", "receiving", "removing", "repackaging", "repairing", "replacing",
			"reserving", "retail_selling", "sampling", "sensor_reporting", "shipping", "staging_outbound", "stock_taking", "stocking", "storing",
			"transporting", "unloading", "unpacking", "void_shipping",
		},
	}
	dispositions = vocabulary{
		name: "disposition", prefixes: []string{"urn:epcglobal:cbv:disp:", "https://ref.gs1.org/cbv/Disp-", "https://ns.gs1.org/cbv/Disp-", "cbv:Disp-"},
		words: []string{
			"active", "available", "completeness_inferred", "completeness_verified", "conformant", "container_closed", "container_open", "damaged",
			"destroyed", "dispensed", "disposed", "encoded", "expired", "in_progress", "in_transit", "inactive", "mismatch_class", "mismatch_instance",
			"mismatch_quantity", "needs_replacement", "no_pedigree_match", "non_conformant", "non_sellable_other", "partially_dispensed", "recalled",
			"reserved", "retail_sold", "returned", "sellable_accessible", "sellable_not_accessible", "stolen", "unavailable", "unknown",
		},
	}
	transactionTypes = vocabulary{
		name: "business transaction type", prefixes: []string{"urn:epcglobal:cbv:btt:", "https://ref.gs1.org/cbv/BTT-", "https://ns.gs1.org/cbv/BTT-", "cbv:BTT-"},
		words: []string{"bol", "cert", "desadv", "inv", "pedigree", "po", "poc", "prodorder", "recadv", "rma", "testprd", "testres", "upevt"},
	}
	endpointTypes = vocabulary{
		name: "source or destination type", prefixes: []string{"urn:epcglobal:cbv:sdt:", "https://ref.gs1.org/cbv/SDT-", "https://ns.gs1.org/cbv/SDT-", "cbv:SDT-"},
		words: []string{"owning_party", "possessing_party", "location"},
	}
	errorReasons = vocabulary{
		name: "error reason", prefixes: []string{"urn:epcglobal:cbv:er:", "https://ref.gs1.org/cbv/ER-", "https://ns.gs1.org/cbv/ER-", "cbv:ER-"},
		words: []string{"did_not_occur", "incorrect_data"},
	}
	components = vocabulary{
		name: "component", prefixes: []string{"https://ref.gs1.org/cbv/Comp-", "https://ns.gs1.org/cbv/Comp-", "cbv:Comp-"},
		words: []string{
			"x", "y", "z", "axial_distance", "azimuth", "height", "spherical_radius", "polar_angle", "elevation_angle", "easting", "northing",
			"latitude", "longitude", "altitude", "geocoordinate",
		},
	}
	alertTypes = vocabulary{
		name: "sensor exception", prefixes: []string{"https://ref.gs1.org/voc/", "https://gs1.org/voc/", "https://www.gs1.org/voc/", "gs1:"},
		words: []string{"ALARM_CONDITION", "ERROR_CONDITION"},
	}
	// Measurements are open here: the list grows with every edition of the Web vocabulary.
	measurements = vocabulary{name: "measurement type", prefixes: []string{"https://ref.gs1.org/voc/", "https://gs1.org/voc/", "https://www.gs1.org/voc/", "gs1:"}}
)

// bare returns the bare word of a value that carries one of the vocabulary in
// a URI, and any other value as it is.
func (v *vocabulary) bare(s string) string {
	for _, p := range v.prefixes {
		if word, ok := strings.CutPrefix(s, p); ok && (v.words == nil || slices.Contains(v.words, word)) {
			return word
		}
	}
	return s
}

// knows reports whether a value may stand: a word of the vocabulary, or a name
// of another one.
func (v *vocabulary) knows(s string) bool {
	return v.words == nil && s != "" || slices.Contains(v.words, s) || isURI(s)
}

// isURI reports whether s has the form of a URI or a prefixed name: a scheme,
// a colon, and something without white space.
func isURI(s string) bool {
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || scheme == "" || rest == "" || len(s) > maxText {
		return false
	}
	for i, c := range scheme {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' && c != '_') {
			return false
		}
	}
	return !strings.ContainsAny(rest, " \t\r\n<>\"{}|\\^`")
}
