package epcis

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

var (
	reportNumbers = []string{"value", "minValue", "maxValue", "meanValue", "sDev", "percRank", "percValue"}
	reportURIs    = []string{"deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules", "microorganism", "chemicalSubstance", "uriValue", "coordinateReferenceSystem"}
	reportTexts   = []string{"stringValue", "hexBinaryValue"}
	metadataURIs  = []string{"deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules"}
)

func (c *checker) sensors(path string, m map[string]any, e *Event) {
	for i, o := range c.objects(path, m, "sensorElementList") {
		at := fmt.Sprintf("%s/sensorElementList/%d", path, i)
		c.only(at, o, true, "type", "sensorMetadata", "sensorReport")
		s := SensorElement{}
		for _, name := range slices.Sorted(maps.Keys(o)) {
			if strings.Contains(name, ":") {
				if s.Extensions == nil {
					s.Extensions = map[string]any{}
				}
				s.Extensions[name] = o[name]
			}
		}
		if v, there := o["sensorMetadata"]; there {
			if meta, ok := v.(map[string]any); ok {
				c.metadata(at+"/sensorMetadata", meta, &s)
			} else {
				c.fault(at+"/sensorMetadata", "sensorMetadata must be an object")
			}
		}
		reports := c.objects(at, o, "sensorReport")
		if len(reports) == 0 {
			c.fault(at+"/sensorReport", "a sensor element has at least one report")
		}
		for j, r := range reports {
			s.Reports = append(s.Reports, c.report(fmt.Sprintf("%s/sensorReport/%d", at, j), r))
		}
		e.Sensors = append(e.Sensors, s)
	}
}

func (c *checker) metadata(path string, m map[string]any, s *SensorElement) {
	c.only(path, m, true, append([]string{"time", "startTime", "endTime"}, metadataURIs...)...)
	s.Time, s.Start, s.End = c.time(path, m, "time", false), c.time(path, m, "startTime", false), c.time(path, m, "endTime", false)
	s.Metadata = map[string]string{}
	for _, name := range metadataURIs {
		if v := c.uri(path, m, name, false); v != "" {
			s.Metadata[name] = v
		}
	}
}

func (c *checker) report(path string, m map[string]any) SensorReport {
	allowed := slices.Concat(reportNumbers, reportURIs, reportTexts, []string{"type", "exception", "component", "booleanValue", "time", "uom"})
	c.only(path, m, true, allowed...)
	r := SensorReport{
		Type: c.word(path, m, "type", &measurements), Unit: c.text(path, m, "uom", false), Time: c.time(path, m, "time", false),
		Numbers: map[string]float64{}, Texts: map[string]string{},
	}
	if x := c.word(path, m, "exception", &alertTypes); x != "" {
		r.Texts["exception"] = x
	} else if r.Type == "" {
		c.fault(path+"/type", "a report says what was measured, or which exception occurred")
	}
	if x := c.word(path, m, "component", &components); x != "" {
		r.Texts["component"] = x
	}
	for _, name := range reportNumbers {
		if _, there := m[name]; there {
			if n, ok := c.number(path, m, name); ok {
				r.Numbers[name] = n
			}
		}
	}
	for _, name := range reportURIs {
		if v := c.uri(path, m, name, false); v != "" {
			r.Texts[name] = v
		}
	}
	for _, name := range reportTexts {
		if v := c.text(path, m, name, false); v != "" {
			r.Texts[name] = v
		}
	}
	if h := r.Texts["hexBinaryValue"]; strings.Trim(h, "0123456789abcdefABCDEF") != "" {
		c.fault(path+"/hexBinaryValue", "%q is not hexadecimal", h)
	}
	if v, there := m["booleanValue"]; there {
		b, ok := v.(bool)
		if !ok {
			c.fault(path+"/booleanValue", "booleanValue must be true or false")
		}
		r.Texts["booleanValue"] = fmt.Sprint(b)
	}
	return r
}
