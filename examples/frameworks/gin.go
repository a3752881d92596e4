package frameworks

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/acp-go/acp/middleware"
)

// Gin protects one route, and a group.
func Gin(read, write Protector) http.Handler {
	engine := gin.New()
	engine.GET("/things/:id", GinBearer(read), func(c *gin.Context) {
		user := middleware.AccessTokenFromContext(c.Request.Context())
		c.String(http.StatusOK, "thing %s of %s", c.Param("id"), user.Subject)
	})
	admin := engine.Group("/admin", GinBearer(write))
	admin.POST("/things", func(c *gin.Context) {
		c.String(http.StatusOK, "a new thing of %s", middleware.AccessTokenFromContext(c.Request.Context()).Subject)
	})
	return engine
}

// GinBearer makes a gin middleware of a protector. gin goes on with the next handler whether a
// middleware calls Next or not, so a refusal has to abort.
func GinBearer(protect Protector) gin.HandlerFunc {
	return func(c *gin.Context) {
		admitted := false
		protect(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			admitted = true
			c.Request = r // its context has the token
			c.Next()
		})).ServeHTTP(c.Writer, c.Request)
		if !admitted {
			c.Abort()
		}
	}
}
